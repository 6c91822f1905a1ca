"""Scores of what systems make of facial motion and text, by the protocols of the field."""
