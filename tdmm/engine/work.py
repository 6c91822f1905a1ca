"""What is done to an item, wherever it is done: loading once a process, and the answer that a worker sends home."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from tdmm.errors import TdmmError

Loaded = TypeVar("Loaded")
Item = TypeVar("Item")
Result = TypeVar("Result")


class LoadedOnce(Generic[Loaded, Item, Result]):
    """Work that needs something large: `work(loaded, item)`, with `load()` called once in each process.

    Both functions must be importable by their names (or picklable objects) where engines with several processes are
    used; what was loaded never travels. Engines load before they hand out the first item, so that an error of `load`
    ends the run instead of failing every item.
    """

    def __init__(self, load: Callable[[], Loaded], work: Callable[[Loaded, Item], Result]) -> None:
        self._load, self._work = load, work
        self._loaded: list[Loaded] = []

    def load(self) -> Loaded:
        """What `load()` gave the first time."""
        if not self._loaded:
            self._loaded.append(self._load())
        return self._loaded[0]

    def __call__(self, item: Item) -> Result:
        return self._work(self.load(), item)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": []}


@dataclass(frozen=True)
class Answer:
    """What a worker sends home: a result; an error that fails this item; or a fault, which ends the run."""

    state: Literal["done", "failed", "fault"]
    value: Any
    trace: str = ""

    def outcome(self) -> Any:
        """The result or the `TdmmError`. Raises a fault, with the worker's traceback as its cause."""
        if self.state == "fault":
            raise self.value from RemoteTraceback(self.trace)
        return self.value


class RemoteTraceback(Exception):
    """Where in a worker an exception was raised: shown as its cause."""

    def __init__(self, trace: str) -> None:
        super().__init__(f"in a worker:\n{trace}")


def attempt(function: Callable[..., Any], *arguments: Any) -> Answer:
    """The answer of one call. KeyboardInterrupt and SystemExit pass."""
    try:
        return Answer("done", function(*arguments))
    except TdmmError as error:
        return Answer("failed", _travels(error, TdmmError))
    except Exception as error:
        return Answer("fault", _travels(error, RuntimeError), traceback.format_exc())


def load(work: Callable[..., Any]) -> None:
    """Load what the work needs, if it says that it needs anything."""
    if isinstance(work, LoadedOnce):
        work.load()


def _travels(error: Exception, otherwise: type[Exception]) -> Exception:
    """The error if it survives pickling, else one of the class `otherwise` with its words."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return otherwise(f"{type(error).__name__}: {error}" if otherwise is RuntimeError else str(error))
    return error
