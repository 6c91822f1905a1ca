"""The signs by which each behaviour is told in a facial motion, for `measure`.

A sign is an expression over a few essential channels, and the way it goes on in time (held, pulses, cycles, still).
Expressions are written for the subject's left; the right is mirrored.

    expression := group {"&" group}     all of them: the least           group := sum {"|" sum}     any: the greatest
    sum        := term {"+" term}       their mean                       term  := channel, its value at full strength

Channels: blendshapes (a stem stands for both sides; where a side is asked for, it must exceed the other side), pitch,
yaw, roll (degrees), x, y, z (millimetres), gazeYaw, gazePitch (degrees), talk (1 for clear speech). Before a channel:
    -     the other direction           both:  the lesser of two sides     one:  what one side has more than the other
    abs:  either direction              diff:  left minus right            fast: amplitude of fine:
    rate: change a second               fine: what is quicker than 3 Hz
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# The least share of full strength that counts as shown: about 60 % of what the level should reach.
LEAST = {"slight": 0.2, "moderate": 0.36, "strong": 0.48}
FULL = 0.55  # the same for what is done in full or not at all, as a blink


@dataclass(frozen=True)
class Measure:
    """How a behaviour is told.

    kind: held, pulses, cycles, talk (as held, over a second), or a name of STILL.
    also: expressions that must be reached at some time in the window. full: done in full or not at all.
    counted: the event's count must be met; else exactly `times`, if given, or at least `least` times.
    sided: one side only, so that without a side either will do. widest: the longest pulse, seconds.
    """

    kind: str
    expression: str = ""
    also: tuple[str, ...] = ()
    full: bool = False
    counted: bool = False
    sided: bool = False
    times: int = 0
    least: int = 0
    widest: float = np.inf

    def threshold(self, level: str) -> float:
        """The least evidence that shows it at this level."""
        return FULL if self.full else LEAST[level]


def held(expression: str, *also: str, **others: Any) -> Measure:
    """Shown by evidence that lasts."""
    return Measure("held", expression, also, **others)


def pulses(expression: str, *also: str, **others: Any) -> Measure:
    """Shown by peaks: `count` of them where neither `times` nor `least` is given."""
    return Measure("pulses", expression, also, counted="times" not in others and "least" not in others, **others)


def cycles(expression: str, *also: str, **others: Any) -> Measure:
    """Shown by a swing there and back to the other side."""
    return Measure("cycles", expression, also, counted="least" not in others, **others)


ACTIONS = {
    "raise_brows": held("browOuterUp 0.95"),
    "raise_inner_brows": held("browInnerUp 0.95"),
    "lower_brows": held("browDown 0.95"),
    "cock_brow": held("browOuterUp 1", sided=True),
    "brow_flash": pulses("browInnerUp 0.8 + browOuterUp 0.95", widest=0.9),
    "wiggle_brows": pulses("browInnerUp 0.7 + browOuterUp 0.95", least=2),
    "blink": pulses("both:eyeBlink 1", full=True, widest=0.6),
    "double_blink": pulses("both:eyeBlink 1", full=True, widest=0.6, times=2),
    "wink": pulses("eyeBlink 1", full=True, sided=True, widest=1.2),
    "close_eyes": held("both:eyeBlink 1", full=True),
    "squint": held("eyeSquint 1"),
    "widen_eyes": held("eyeWide 1"),
    "droop_lids": held("both:eyeBlink 0.55"),
    "flutter_lashes": pulses("both:eyeBlink 0.9", least=2),
    "squeeze_eyes": held("both:eyeBlink 1 & eyeSquint 0.9 | cheekSquint 0.8", full=True),
    "roll_eyes": pulses("-gazePitch 17", "gazeYaw 13", "-gazeYaw 13"),
    "stare": Measure("stare", "eyeWide 0.45"),
    "cross_eyes": held("both:eyeLookIn 0.8", full=True),
    "eye_twitch": pulses("eyeSquint 0.85", sided=True, widest=0.5),
    "wrinkle_nose": held("noseSneer 0.95"),
    "sneer": held("mouthUpperUp 0.9 & noseSneer 0.75"),
    "sniff": pulses("noseSneer 0.6", widest=0.9),
    "raise_cheeks": held("cheekSquint 1"),
    "puff_cheeks": held("cheekPuff 1"),
    "smile": held("mouthSmile 0.85"),
    "grin": held("mouthSmile 1 & mouthUpperUp 0.5 | mouthLowerDown 0.35"),
    "smirk": held("mouthSmile 0.85", sided=True),
    "frown": held("mouthFrown 0.95"),
    "pout": held("mouthShrugLower 0.95 & mouthPucker 0.35 | mouthFrown 0.4"),
    "pucker": held("mouthPucker 1"),
    "kiss": pulses("mouthPucker 1"),
    "press_lips": held("mouthPress 1"),
    "part_lips": held("jawOpen 0.12 | mouthLowerDown 0.3"),
    "open_mouth": held("jawOpen 0.6"),
    "gape": held("jawOpen 1"),
    "stretch_lips": held("mouthStretch 1"),
    "bare_teeth": held("mouthUpperUp 0.85 & mouthLowerDown 0.85"),
    "raise_upper_lip": held("mouthUpperUp 1"),
    "drop_lower_lip": held("mouthLowerDown 1"),
    "bite_lip": held("mouthRollLower 1"),
    "lick_lips": pulses("tongueOut 0.7"),
    "roll_lips": held("mouthRollLower 0.95 & mouthRollUpper 0.95"),
    "round_lips": held("mouthFunnel 0.95"),
    "dimple": held("mouthDimple 1"),
    "twist_mouth": held("mouth 0.95", sided=True),
    "blow": held("mouthPucker 0.75 & mouthFunnel 0.45 | cheekPuff 0.4"),
    "whistle": held("mouthPucker 0.95 & mouthFunnel 0.35"),
    "tongue_out": held("tongueOut 1", full=True),
    "quiver_lip": held("mouthShrugLower 0.55 & fast:mouthShrugLower 0.28 | fast:mouthRollLower 0.18"),
    "grit_teeth": held("mouthStretch 0.75 & mouthUpperUp 0.6 | mouthLowerDown 0.65"),
    "push_up_chin": held("mouthShrugLower 1"),
    "shrug_mouth": pulses("mouthShrugLower 0.85 + mouthFrown 0.65"),
    "mouth_twitch": pulses("mouthSmile 0.6", sided=True, widest=0.5),
    "smack_lips": pulses("mouthPress 0.7 + mouthRollLower 0.4", "jawOpen 0.3"),
    "jut_jaw": held("jawForward 1"),
    "shift_jaw": held("jaw 0.95", sided=True),
    "wiggle_jaw": cycles("diff:jaw 0.8", least=3),
    "chew": pulses("jawOpen 0.3", "mouthPress 0.4 | mouthClose 0.24", least=2),
    "chatter_teeth": held("fast:jawOpen 0.08 & mouthStretch 0.4 | mouthLowerDown 0.35"),
    "yawn": pulses("jawOpen 1", "eyeBlink 0.75 | eyeSquint 0.6"),
    "laugh": held("mouthSmile 1 & cheekSquint 0.95 & fast:jawOpen 0.16 | fast:pitch 1.8"),
    "giggle": held("mouthSmile 0.8 & cheekSquint 0.7 & fast:jawOpen 0.07 | fast:pitch 1.2"),
    "cry": held("browInnerUp 0.9 & mouthFrown 0.8 & eyeSquint 0.85"),
    "swallow": pulses("mouthPress 0.7", "mouthShrugLower 0.5"),
    "sigh": pulses("jawOpen 0.22 + mouthFunnel 0.3", "pitch 6 | -pitch 4 | y 5 | -y 5"),
    "gasp": pulses("jawOpen 0.7", "eyeWide 0.8 & browInnerUp 0.75 | browOuterUp 0.65"),
    "wince": pulses("eyeSquint 1 + browDown 0.7", "mouthStretch 0.65"),
    "grimace": held("mouthStretch 0.95 & mouthLowerDown 0.7 | mouthUpperUp 0.5 & browDown 0.5 | noseSneer 0.5"),
    "scowl": held("browDown 1 & eyeSquint 0.55 | mouthFrown 0.65"),
    "cough": pulses("mouthFunnel 0.4 + pitch 7", "jawOpen 0.32"),
    "sneeze": pulses("pitch 14", "-pitch 12", "noseSneer 0.7", "both:eyeBlink 1"),
}

HEAD = {
    "nod": pulses("pitch 11", widest=0.9),
    "shake": cycles("yaw 12"),
    "tilt": held("-roll 16", sided=True),
    "turn": held("yaw 30", sided=True),
    "raise_head": held("-pitch 15"),
    "lower_head": held("pitch 17"),
    "bob": pulses("pitch 5 + -y 6", least=3),
    "lean_forward": held("z 55"),
    "lean_back": held("-z 50"),
    "lean_aside": held("x 42", sided=True),
    "circle_head": cycles("roll 13", "pitch 9", "-pitch 9"),
    "thrust_head": pulses("z 34", widest=1.2),
    "pull_head_back": held("-z 28"),
    "sway": cycles("x 16 + -roll 6", least=3),
    "double_take": pulses("yaw 26", "both:browOuterUp 0.7 | both:eyeWide 0.6", sided=True, times=2),
    "bow": pulses("pitch 27"),
    "recoil": pulses("-z 38", widest=1.4),
    "wobble": cycles("roll 9", least=3),
    "slump_head": held("pitch 25"),
    "snap_turn": held("yaw 30", "rate:yaw 150", sided=True),
    "toss_head": pulses("-pitch 17", widest=1.2),
    "up_nod": pulses("-pitch 12", widest=0.9),
    "look_over_shoulder": held("yaw 42 & gazeYaw 18", sided=True),
    "tremble_head": cycles("fine:yaw 1.6", least=8),
    "nudge_head": pulses("yaw 12 + -roll 11", sided=True, widest=1.1),
    "keep_still": Measure("keep_still"),
}

GAZE = {
    "look_aside": held("gazeYaw 20", sided=True),
    "look_up": held("-gazePitch 15"),
    "look_down": held("gazePitch 19"),
    "look_up_aside": held("gazeYaw 15 & -gazePitch 13", sided=True),
    "look_down_aside": held("gazeYaw 15 & gazePitch 14", sided=True),
    "look_at_camera": Measure("contact"),
    "avert_gaze": held("abs:gazeYaw 14 & gazePitch 10"),
    "glance_aside": pulses("gazeYaw 20", sided=True, widest=1.3),
    "glance_up": pulses("-gazePitch 15", widest=1.3),
    "glance_down": pulses("gazePitch 19", widest=1.3),
    "dart_eyes": cycles("gazeYaw 15", least=3),
    "scan": held("abs:gazeYaw 16", "gazeYaw 16", "-gazeYaw 16"),
    "look_around": held("abs:yaw 18", "yaw 18", "-yaw 18"),
}

EMOTIONS = {
    "admiration": held("mouthSmile 0.5 & browInnerUp 0.55 | browOuterUp 0.45 & eyeWide 0.35"),
    "amusement": held("mouthSmile 0.85 & cheekSquint 0.75 | eyeSquint 0.45"),
    "anger": held("browDown 1 & mouthPress 0.7 | noseSneer 0.45 | eyeSquint 0.5"),
    "annoyance": held("browDown 0.6 & mouthPress 0.55 | mouthDimple 0.3"),
    "approval": held("mouthSmile 0.4 & mouthShrugLower 0.4 | mouthPress 0.25"),
    "awe": held("browInnerUp 0.8 & eyeWide 0.75 & jawOpen 0.35"),
    "boredom": held("eyeBlink 0.4 & mouthFrown 0.3 | mouthShrugLower 0.25"),
    "calm": held("mouthSmile 0.2 & eyeBlink 0.2"),
    "caring": held("mouthSmile 0.5 & browInnerUp 0.5"),
    "confusion": held("one:browDown 0.75 | one:browOuterUp 0.55 & eyeSquint 0.4 | mouthShrugLower 0.4"),
    "contempt": held("one:mouthDimple 0.9 | one:mouthSmile 0.5 | one:mouthPress 0.45"),
    "curiosity": held("browInnerUp 0.5 + browOuterUp 0.6 & eyeWide 0.4"),
    "desire": held("mouthSmile 0.25 & eyeBlink 0.28 | eyeSquint 0.2 & jawOpen 0.1 | mouthLowerDown 0.15"),
    "determination": held("browDown 0.6 & mouthPress 0.75"),
    "disappointment": held("browInnerUp 0.55 & mouthFrown 0.6"),
    "disapproval": held("browDown 0.55 & mouthFrown 0.6"),
    "disbelief": held("one:browOuterUp 0.75 & mouthFrown 0.3 | mouthDimple 0.35"),
    "disgust": held("noseSneer 1 & mouthUpperUp 0.7"),
    "embarrassment": held("mouthSmile 0.4 & mouthPress 0.55 & gazePitch 10 | pitch 8"),
    "excitement": held("mouthSmile 0.95 & eyeWide 0.6 & browInnerUp 0.5 | browOuterUp 0.7"),
    "fear": held("browInnerUp 1 & eyeWide 1 & mouthStretch 0.85"),
    "frustration": held("browDown 0.8 & mouthPress 0.8"),
    "gratitude": held("mouthSmile 0.7 & browInnerUp 0.4"),
    "grief": held("browInnerUp 1 & mouthFrown 0.85 & eyeSquint 0.6"),
    "jealousy": held("browDown 0.6 & eyeSquint 0.6 & mouthDimple 0.25 | mouthPress 0.5"),
    "joy": held("mouthSmile 1 & cheekSquint 0.85"),
    "love": held("mouthSmile 0.65 & cheekSquint 0.55"),
    "nervousness": held("browInnerUp 0.7 & mouthPress 0.5 | mouthStretch 0.45"),
    "neutral": Measure("neutral"),
    "optimism": held("mouthSmile 0.55 & browOuterUp 0.4 | browInnerUp 0.3"),
    "pain": held("browDown 0.9 & eyeSquint 1 & noseSneer 0.6 | cheekSquint 0.85"),
    "pride": held("mouthSmile 0.45 & -pitch 8 | mouthShrugLower 0.3"),
    "realization": held("browInnerUp 0.65 + browOuterUp 0.7 & eyeWide 0.55"),
    "relief": held("mouthSmile 0.4 & eyeBlink 0.4 | mouthFunnel 0.15"),
    "remorse": held("browInnerUp 0.85 & mouthFrown 0.6"),
    "sadness": held("browInnerUp 0.95 & mouthFrown 0.8"),
    "shock": held("browInnerUp 0.9 + browOuterUp 0.9 & eyeWide 1 & jawOpen 0.75"),
    "smugness": held("one:mouthSmile 0.65 | one:mouthDimple 0.5"),
    "surprise": held("browInnerUp 0.9 + browOuterUp 0.95 & eyeWide 0.8 | jawOpen 0.45"),
    "suspicion": held("browDown 0.5 & eyeSquint 0.85"),
    "thoughtfulness": held("browDown 0.35 | eyeSquint 0.3 & one:mouth 0.3 | mouthPucker 0.25 | mouthPress 0.25"),
    "tiredness": held("eyeBlink 0.55 & mouthFrown 0.2 | browInnerUp 0.2 | pitch 7"),
}

SPEECH = {
    "speak": Measure("talk", "talk 0.9"),
    "whisper": Measure("talk", "talk 0.65"),
    "shout": Measure("talk", "talk 1.4 & browDown 0.45 | noseSneer 0.3"),
    "mumble": Measure("talk", "talk 0.4"),
    "sing": Measure("talk", "talk 0.9 & browInnerUp 0.35 | jawOpen 0.35"),
    "read_out": Measure("talk", "talk 0.85"),
    "laugh_speaking": Measure("talk", "talk 0.85 & mouthSmile 0.75"),
    "mouth_words": Measure("talk", "talk 1.2"),
    "rant": Measure("talk", "talk 1 & browDown 0.4"),
}

MEASURES: dict[str, Measure] = {**ACTIONS, **HEAD, **GAZE, **EMOTIONS, **SPEECH}

_BY_KIND = {"emotion": EMOTIONS, "action": ACTIONS, "head": HEAD, "gaze": GAZE, "speech": SPEECH}
KINDS = tuple(_BY_KIND)
KIND = {name: kind for kind, measures in _BY_KIND.items() for name in measures}
