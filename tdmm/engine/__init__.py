"""Work over many items: skip what is done, go on after a failure, say which ones failed."""

from tdmm.engine.run import Event, Failure, Outcome, in_sequence, run_over

__all__ = ["Event", "Failure", "Outcome", "in_sequence", "run_over"]
