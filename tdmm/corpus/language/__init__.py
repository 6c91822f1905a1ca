"""From programs to words: prompts, captions, questions and answers."""
