"""Models of Hugging Face: the folder that a name stands for, and their libraries without remarks of their own."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from tdmm.errors import LmError

# OWNER/MODEL, or MODEL alone, as the hub names them.
_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
# The same weights once more, in other forms; and never a pickle.
_UNWANTED = ("consolidated*", "original/*", "onnx/*", "openvino/*", "coreml/*", "checkpoint*/*")

# What transformers raises for folders that it cannot load.
LOADING_ERRORS = (OSError, ValueError, LookupError, TypeError, RuntimeError, ImportError, SafetensorError)


def folder_of(where: str | Path) -> Path:
    """The folder of a model: `where` itself, or a copy of the hub's model of this name, fetched once and kept.

    Raises `LmError` where there is neither.
    """
    place = Path(where)
    if place.is_dir():
        return place
    if place.exists():
        raise LmError(f"{where}: is a file; name the folder of a language model")
    if isinstance(where, Path) or not _ID.fullmatch(where):
        raise LmError(f"{where}: there is no such folder; name the folder of a language model, or one of the hub")
    from huggingface_hub import snapshot_download

    try:
        with quiet():
            return Path(snapshot_download(where, allow_patterns=_WANTED, ignore_patterns=_UNWANTED))
    except (OSError, ValueError) as error:
        # Who asks for a model that is no folder here may have misspelt the folder.
        raise LmError(
            f"{where}: there is no such folder, and the Hugging Face hub does not give a model of this name "
            f"({first_line(error)}); name a folder, or see that the hub can be reached"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and no remarks of Hugging Face: what goes wrong is told by an exception. Put back as it was."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging

    verbosity, bars, hub_bars = logging.get_verbosity(), logging.is_progress_bar_enabled(), are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        if not hub_bars:
            enable_progress_bars()


def first_line(error: BaseException) -> str:
    """What an error says, at most 200 letters of its first line."""
    said = str(error).strip().splitlines()
    return said[0][:200] if said else type(error).__name__
