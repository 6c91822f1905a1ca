"""Errors that speak to the person: one line that says what, which file, and what to do next.

The command line prints the message of any `TdmmError` after `error: ` and exits with status 1;
every other exception is a bug and keeps its traceback under `--debug`.
"""


class TdmmError(Exception):
    """Base of every error that a person can do something about."""


class MotionError(TdmmError, ValueError):
    """A facial motion, in memory or in a file, that breaks the rules of `FaceMotion`."""


class TokensError(TdmmError, ValueError):
    """Motion tokens, in memory or in a file, that break the rules of `MotionTokens` or fit no codebook."""


class VideoError(TdmmError):
    """A video, picture or stream that cannot be read or written."""


class FaceModelError(TdmmError):
    """A face model that cannot be loaded, or that does not fit the data it is used with."""


class NoFaceError(TdmmError):
    """A video in which no face was found in any frame."""


class OutputError(TdmmError):
    """An output that cannot be written: it exists, its folder is missing, a terminal, a full disk."""


class MissingPartError(TdmmError):
    """An optional package is not installed; the message holds the one line that installs it."""


class WorkerError(TdmmError):
    """A process that worked on an item died: a fault in a library, or the machine ran out of memory."""


class CorpusError(TdmmError):
    """A corpus folder whose manifest cannot be read or written."""


class EvaluationError(TdmmError):
    """Scores that cannot be computed from what was given."""


class LmError(TdmmError, ValueError):
    """Sequences of motion and text that break the rules of `tdmm.lm`, or a language model that cannot be used."""


class TrainingError(TdmmError):
    """A training that cannot begin or go on."""
