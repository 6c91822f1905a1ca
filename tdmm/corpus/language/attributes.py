"""What a text states, as attributes by kind: a behaviour, and what is said of it.

"Looks slightly sad" has the emotion sadness and, apart from that, its intensity. Kinds:

emotion, action, head, gaze, speech: behaviours that are shown, as often as they are.
intensity: (behaviour, level) of emotions, actions and movements of the head that can be done by halves. A text that
gives no level says moderate, as the prompts and captions of the corpus do.
side: (behaviour, left or right). count: (behaviour, times) of what can be counted; once, where nothing is said.
order: (earlier, later) pairs of behaviours of which one ends before the other begins. A feeling or a way of speaking
that goes along with something else has no place in the order.
absence: what is said not to happen. stillness: that the head keeps still, or not.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from tdmm.corpus.language.parse import Parsed
from tdmm.corpus.lexicon import Behaviour

KINDS = (
    "emotion",
    "intensity",
    "action",
    "head",
    "gaze",
    "speech",
    "side",
    "count",
    "order",
    "absence",
    "stillness",
)
Attributes = dict[str, "Counter[Any]"]


def attributes_of_text(parsed: Parsed, explicit_only: bool = False) -> Attributes:
    """The attributes that a text states; `explicit_only`: without levels and counts that go without saying."""
    found: Attributes = {kind: Counter() for kind in KINDS}
    for one in parsed.statements:
        event = one.event
        if event.absent:
            found["absence"][event.id] += 1
            continue
        level = event.level if not explicit_only or "level" in one.said else ""
        count = event.count if not explicit_only or "count" in one.said else 0
        add_event(found, event.behaviour, event.side, count, level)
    steps = [[one.event for one in step if not one.event.absent] for step in parsed.steps]
    steps = [
        [event for event in step if len(step) == 1 or event.behaviour.kind not in ("emotion", "speech")]
        for step in steps
    ]
    for number, step in enumerate(steps):
        for first in step:
            for later in steps[number + 1 :]:
                found["order"].update({(first.id, second.id): 1 for second in later if second.id != first.id})
    found["order"] = Counter(dict.fromkeys(found["order"], 1))
    if parsed.head_still is not None:
        found["stillness"]["still" if parsed.head_still else "moves"] = 1
    return found


def add_event(found: Attributes, behaviour: Behaviour, side: str, count: int, level: str) -> None:
    """Count one event that is shown, with what is said of it; no level and a count of 0: nothing is said."""
    found[behaviour.kind][behaviour.id] += 1
    if side:
        found["side"][behaviour.id, side] += 1
    if behaviour.repeats and count:
        found["count"][behaviour.id, count] += 1
    by_halves = behaviour.kind in ("emotion", "action", "head") and not behaviour.full and not behaviour.fixed
    if by_halves and behaviour.id != "neutral" and level:
        found["intensity"][behaviour.id, level] += 1
