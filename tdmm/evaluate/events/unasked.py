"""What a motion shows beyond what it was asked for: a fixed list of salient behaviours that cannot be mistaken.

A living face does more than it is told: it blinks, glances, sways. So a behaviour of this list counts as shown without
having been asked for only above a strength that motions of the truth hardly ever reach by themselves, and only if
nothing that was asked for moves the same channels. Of 1,000 clips of the generator (seed 31) 3.6 % exceed it for any
behaviour of the list, 1.0 % at most for each one; of 2,000 others (seed 2024) 4.0 % and 1.2 %.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from tdmm.evaluate.events.find import occurrences
from tdmm.evaluate.events.signs import MEASURES
from tdmm.motion import FaceMotion

Event = Mapping[str, Any]

LEAST_UNASKED = 0.45  # the strength from which they count: more than anything that is only slightly there
# What living faces do by themselves, or what looks alike, has to be stronger.
_STRONGER = {
    "nod": 0.55,
    "raise_head": 0.5,
    "lower_head": 0.5,
    "raise_brows": 0.5,
    "lower_brows": 0.55,
    "pucker": 0.6,
    "look_up": 0.55,
    "look_aside": 0.6,
    "look_down": 0.6,
    "speak": 0.7,
}
_NAMES = """
    raise_brows lower_brows close_eyes wink squint widen_eyes wrinkle_nose puff_cheeks smile frown pucker gape
    stretch_lips press_lips tongue_out bare_teeth twist_mouth shift_jaw jut_jaw
    nod shake tilt turn raise_head lower_head lean_forward lean_back lean_aside
    look_aside look_up look_down cross_eyes
    joy anger sadness surprise disgust fear
    speak
"""
SALIENT = {name: _STRONGER.get(name, LEAST_UNASKED) for name in _NAMES.split()}
SHUT_SECONDS = 0.5  # lids that are closed for less have blinked
# What goes with a channel: eyes lead a head that turns and make up for one that nods; a jaw that moves looks like talk,
# and talk needs lips.
_GOES_WITH = {
    "yaw": ("gazeYaw",),
    "pitch": ("gazePitch",),
    "jawOpen": ("talk",),
    "talk": ("jawOpen", "mouthPucker", "mouthFunnel", "mouthPress", "mouthLowerDown", "mouthUpperUp", "mouthStretch"),
}
_ALSO_MOVES = {"read_out": ("gazeYaw", "gazePitch"), "sneeze": ("eyeSquint",), "cough": ("eyeSquint",)}


def unasked(motion: FaceMotion, events: Iterable[Event]) -> list[str]:
    """The behaviours of SALIENT that a motion shows though nothing that was asked for accounts for them.

    events: the structured truth; what it says to be absent accounts for nothing.
    """
    asked = [event["id"] for event in events if not event.get("absent")]
    free = [(name, least) for name, least in SALIENT.items() if not accounted_for(name, asked)]
    return [name for name, least in free if shown_strength(motion, name) >= least]


def shown_strength(motion: FaceMotion, behaviour_id: str) -> float:
    """The strength at which a motion shows a behaviour at its best; 0 if it does not."""
    least = SHUT_SECONDS if behaviour_id == "close_eyes" else 0.0
    places = occurrences(motion, behaviour_id)
    return max((place.strength for place in places if place.end - place.start >= least), default=0.0)


def accounted_for(behaviour_id: str, asked: Iterable[str]) -> bool:
    """Whether one of the behaviours that were asked for moves what tells this one, whichever way."""
    return any(one == behaviour_id or _moves(one) & _channels(behaviour_id) for one in asked)


_CHANNEL = re.compile(r"[A-Za-z]+(?= \d)")


@cache
def _channels(behaviour_id: str) -> frozenset[str]:
    measure = MEASURES[behaviour_id]
    return frozenset(_CHANNEL.findall(" ".join((measure.expression, *measure.also))))


@cache
def _moves(behaviour_id: str) -> frozenset[str]:
    own = _channels(behaviour_id).union(_ALSO_MOVES.get(behaviour_id, ()))
    return own.union(*(_GOES_WITH.get(channel, ()) for channel in own))
