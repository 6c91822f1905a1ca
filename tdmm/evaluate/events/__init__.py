"""Which behaviours a facial motion shows, measured on its curves alone: a second opinion on everything that is made.

`measure` and `signs` know nothing of how motions are made; `find` locates what is shown at times that nobody told.
"""
