"""One language model that reads and writes facial motion: text to motion tokens and back."""
