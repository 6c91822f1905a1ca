"""The behaviour lexicon: what faces can be asked to do, and how each looks. The data lie in tdmm/corpus/data/*.toml."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from tdmm.corpus.columns import COLUMNS, INDEX, N_CURVES, left_half, mirrored, row
from tdmm.errors import CorpusError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KINDS = ("emotion", "action", "head", "gaze", "speech")
_FILES = {"emotion": "emotions", "action": "actions", "head": "head", "gaze": "gaze", "speech": "speech"}
SIDES = ("left", "right")
# How much of its full strength a behaviour shows at each of MEAD's three levels: least, most.
LEVELS = {"slight": (0.32, 0.45), "moderate": (0.55, 0.72), "strong": (0.85, 1.0)}
TEMPI = {"slow": 1.5, "normal": 1.0, "fast": 0.72}  # factors of time
_ONSET = {"action": (0.2, 0.45), "emotion": (0.35, 0.9), "head": (0.3, 0.6), "gaze": (0.06, 0.12), "speech": (0.2, 0.4)}
_OFFSET = {
    "action": (0.25, 0.6),
    "emotion": (0.5, 1.1),
    "head": (0.35, 0.7),
    "gaze": (0.06, 0.12),
    "speech": (0.3, 0.5),
}
_SHORTEST = {"action": 0.7, "emotion": 1.5, "head": 0.9, "gaze": 0.8, "speech": 1.5}
# What a column occupies, by how its name begins: events at one time must not both need the same thing.
_OCCUPIES = (
    ("brow", "brows"), ("eyeBlink", "lids"), ("eyeWide", "lids"), ("eyeSquint", "squint"), ("eyeCross", "gaze-x"),
    ("gazeYaw", "gaze-x"), ("gazePitch", "gaze-y"), ("jawOpen", "jaw"), ("jaw", "jaw-place"), ("mouthSmile", "corners"),
    ("mouthFrown", "corners"), ("mouthStretch", "corners"), ("mouthDimple", "corners"), ("mouthPress", "lips_jaw"),
    ("mouthRoll", "lips_jaw"), ("mouthPucker", "lips_jaw"), ("mouthFunnel", "lips_jaw"), ("mouth", "lips"),
    ("tongue", "jaw"), ("cheekPuff", "lips_jaw"), ("cheek", "cheeks"), ("nose", "nose"), ("headPitch", "pitch"),
    ("headYaw", "yaw"), ("headRoll", "roll"), ("headX", "x"), ("headY", "y"), ("headZ", "z"),
)  # fmt: skip
_SHARED = frozenset({"cheeks", "squint"})
# Degrees and millimetres that count as much as a blendshape at 1.
_UNIT = {
    "gazeYaw": 15,
    "gazePitch": 15,
    "headPitch": 12,
    "headYaw": 15,
    "headRoll": 12,
    "headX": 20,
    "headY": 20,
    "headZ": 30,
}


@dataclass(frozen=True, eq=False)
class Behaviour:
    """One thing that a face can do.

    kind: one of KINDS. part: of the face, for actions; family: of emotions (positive, negative, ...).
    pose: (C,) where it goes and stays, or None; keys: the times (K,) and values (K, C) of one beat, or None.
    sided: left or right has to be said. sides: it can be said. repeats: it is counted. fixed: it is the absence of
    movement (a stare, a still head). full: never done by halves (a blink).
    period: seconds of a beat, least and most. gap: seconds between beats. beats: how many make one event that is not
    counted. onset, offset: seconds, least and most. shortest: seconds that an event of it lasts at least.
    tremor: rate in Hz (least, most) and the row (C,) that is added and taken away while it lasts.
    occupies: what of the face it needs for itself.
    """

    id: str
    kind: str
    part: str
    family: str
    au: tuple[str, ...]
    pose: np.ndarray | None
    keys: tuple[np.ndarray, np.ndarray] | None
    sided: bool
    sides: bool
    repeats: bool
    fixed: bool
    full: bool
    random_side: bool
    period: tuple[float, float]
    gap: tuple[float, float]
    beats: tuple[int, int]
    onset: tuple[float, float]
    offset: tuple[float, float]
    shortest: float
    tremor: tuple[tuple[float, float], np.ndarray] | None
    occupies: frozenset[str]
    voice: Mapping[str, Any]

    def facing(self, values: np.ndarray, side: str) -> np.ndarray:
        """Rows of this behaviour as done by one side; `side` is left, right or empty."""
        if self.sides and side:
            values = left_half(values, other=0.08)
        return mirrored(values) if side == "right" else values

    @property
    def peak(self) -> np.ndarray:
        """(C,) how far each column goes at most, of what `pose` and `keys` say."""
        return np.abs(self.pose) if self.keys is None else np.abs(self.keys[1]).max(0)  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        """The id in words."""
        return self.id.replace("_", " ")


@cache
def behaviours() -> Mapping[str, Behaviour]:
    """All behaviours by their ids, in the order of the data."""
    found: dict[str, Behaviour] = {}
    for kind, stem in _FILES.items():
        for name, fields in read_data(f"{stem}.toml").items():
            if name in found:
                raise CorpusError(f"{stem}.toml: {name} is there twice")
            found[name] = _behaviour(name, kind, fields)
    return found


def of_kind(kind: str) -> list[Behaviour]:
    """The behaviours of one kind, in the order of the data."""
    return [one for one in behaviours().values() if one.kind == kind]


def find(name: str, kind: str | None = None) -> Behaviour:
    """A behaviour by its id. Raises `CorpusError` that names what comes near."""
    one = behaviours().get(name)
    if one is not None and kind in (None, one.kind):
        return one
    known = [other for other in behaviours() if kind in (None, behaviours()[other].kind)]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    advice = f"did you mean {', '.join(near)}?" if near else "tdmm generate-corpus --list shows them all"
    raise CorpusError(f"there is no {kind or 'behaviour'} {name!r}; {advice}")


def in_conflict(first: Behaviour, second: Behaviour) -> bool:
    """Whether the two cannot be done at the same time. Emotions give way to everything, but not to each other."""
    if first.id == second.id:
        return True
    kinds = {first.kind, second.kind}
    if kinds == {"emotion"}:
        return True
    if "emotion" in kinds:
        return False
    shared = first.occupies & second.occupies
    if not shared <= _SHARED:
        return True
    # Cheeks and lower lids take part in much: only what has nothing else needs them for itself.
    fine = [one for one in (first, second) if one.occupies and one.occupies <= _SHARED]
    return bool(shared) and any(
        other.part == "eyes" or other.occupies <= _SHARED
        for one in fine
        for other in (first, second)
        if other is not one
    )


def read_data(name: str) -> dict[str, Any]:
    """A TOML file of tdmm/corpus/data."""
    return tomllib.loads((files("tdmm.corpus") / "data" / name).read_text(encoding="utf-8"))


def _behaviour(name: str, kind: str, fields: dict[str, Any]) -> Behaviour:
    weights = {**fields.get("curves", {}), **fields.get("pose", {})}
    weights |= {f"head{axis.capitalize()}": value for axis, value in fields.get("head", {}).items()}
    weights |= {f"gaze{axis.capitalize()}": value for axis, value in fields.get("gaze", {}).items()}
    pose = None if "keys" in fields else row(weights, name)
    keys = None
    if "keys" in fields:
        times, rows = zip(*((time, row(values, name)) for time, values in fields["keys"]), strict=True)
        keys = np.array((0.0, *times), np.float32), np.stack((np.zeros(len(COLUMNS), np.float32), *rows))
    tremor = None
    if "tremor" in fields:
        tremor = tuple(fields["tremor"]["rate"]), row(fields["tremor"]["curves"], name)
    beats = tuple(fields.get("beats", (1, 1)))
    fixed = fields.get("fixed", False)
    return Behaviour(
        id=name,
        kind=kind,
        part=fields.get("part", ""),
        family=fields.get("family", ""),
        au=tuple(str(unit) for unit in fields.get("au", ())),
        pose=pose,
        keys=keys,
        sided=fields.get("sided", False),
        sides=fields.get("sides", False),
        repeats=fields.get("repeats", False),
        fixed=fixed,
        full=fields.get("full", False),
        random_side=fields.get("random_side", fields.get("sides_of_motion", False)),
        period=tuple(fields.get("period", (0.0, 0.0))),
        gap=tuple(fields.get("gap", (0.0, 0.08))),
        beats=beats,
        onset=tuple(fields.get("onset", _ONSET[kind])),
        offset=tuple(fields.get("offset", _OFFSET[kind])),
        shortest=fields.get("shortest", _SHORTEST[kind]),
        tremor=tremor,
        occupies=_occupied(name, kind, pose if keys is None else np.abs(keys[1]).max(0), fixed),
        voice={
            key: fields[key]
            for key in ("rate", "open", "lips", "pauses", "beat", "sustain", "reading", "laughing")
            if key in fields
        },
    )


def occupied_by(column: str) -> list[str]:
    """The parts of the face that a column needs."""
    return next(things for start, things in _OCCUPIES if column.startswith(start)).split("_")


def _occupied(name: str, kind: str, peak: np.ndarray | None, fixed: bool) -> frozenset[str]:
    if kind == "speech":
        return frozenset({"jaw", "lips"})
    if name == "keep_still":
        return frozenset({"pitch", "yaw", "roll", "x", "y", "z"})
    if fixed:  # the eyes are held
        return frozenset({"gaze-x", "gaze-y", "lids"} if name == "stare" else {"gaze-x", "gaze-y"})
    if name == "tremble_head":  # small as it is
        return frozenset({"yaw"})
    assert peak is not None
    size = np.abs(peak)
    for column, unit in _UNIT.items():
        size[INDEX[column]] /= unit
    # A hair more, so that rounding (which differs between versions of numpy) decides nothing.
    least = max(0.3, 0.35 * float(size[:N_CURVES].max(initial=0.0))) + 1e-5
    # A laugh moves the head a little, which leaves it free to nod.
    of_others = (0.3 if kind in ("head", "gaze") else 0.55) + 1e-5
    if name in ("sigh", "cough"):  # lids that droop with it may as well be closed
        size[[INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]] = 0
    taken = {
        thing
        for column, number in INDEX.items()
        if size[number] >= (least if number < N_CURVES else of_others)
        for thing in occupied_by(column)
    }
    return frozenset(taken)
