"""Corpora of prompted facial behaviour: what faces do, how people say it, and clips that show it."""
