"""What people ask about a motion, put as a language model was taught to be asked: `understand`.

A model knows the forms of `tdmm.corpus.language.questions` and no others. "Which eye does she wink with?" becomes
"Wink: on which side, left or right?": what is asked for is known by the words of asking, what it is asked of by the
phrases of the lexicon. What no form asks is put together from several: "Does she nod twice?" is a count that is
compared. And what does not happen has no side, no number and no time, though a model that is asked makes one up: it is
looked up first whether it happens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from types import MappingProxyType

from tdmm.corpus.language.parse import Statement, parse_text
from tdmm.corpus.language.phrases import THEY, fill, ways
from tdmm.corpus.language.questions import RELATIVES
from tdmm.corpus.lexicon import SIDES, Behaviour, behaviours, of_kind
from tdmm.corpus.program import Event

# What is asked about a whole motion, by kind: the forms that were taught. The first one is taken.
WHOLE = {
    "emotion": (
        "Which emotion does the face show?",
        "What does the person seem to feel?",
        "What emotion is this?",
        "How does the person feel?",
    ),
    "action": ("What does the face do?", "What facial action can be seen?"),
    "head": ("How does the head move?", "What does the head do?"),
    "gaze": ("Where do the eyes go?", "What does the gaze do?"),
    "speech": ("How does the person talk?", "What is the person's way of speaking?"),
    "stillness": ("Is the head still?", "Does the head stay still?", "Does the person keep the head still?"),
}
# What is asked about a behaviour, by what is asked for: {base} and {gerund} are clauses of it, {name} and {emotion} its
# name.
_OF_ONE = (
    ("feeling", "How strong is the {emotion}?"),
    ("feeling", "How intense is the {emotion}?"),
    ("intensity", "How strongly does the person {base}?"),
    ("count", "How often does the person {base}?"),
    ("side", "{name}: on which side, left or right?"),
    ("after", "What comes right after {gerund}?"),
    ("order", "What comes first: {gerund}, or {gerund2}?"),
    ("when", "When does the person start to {base}?"),
    ("how long", "For how long does the person {base}?"),
    ("yes-no", "Does the person {base}?"),
)
_TIMES = ("", "once", "twice", "three times", "four times", "five times", "six times", "seven times", "eight times")
# The kinds of the corpus, where they are others.
_KIND = {"feeling": "intensity", "after": "order", "how long": "when"}
YES, NO, NOT_AT_ALL = "Yes.", "No.", "Not at all."
# What is answered where that which is asked about does not happen.
_OTHERWISE = {
    "emotion": "None.",
    "action": "Nothing.",
    "head": NOT_AT_ALL,
    "gaze": "Nowhere.",
    "speech": NOT_AT_ALL,
    "feeling": NOT_AT_ALL,
    "intensity": NOT_AT_ALL,
    "count": "Never.",
    "side": "Neither.",
    "after": "Nothing.",
    "when": "Never.",
    "how long": NOT_AT_ALL,
}


# The ids of what is seen, with the second at which each begins and how many seconds it lasts; empty: it is not known.
Seen = Mapping[str, tuple[float, float]]
NOTHING_KNOWN: Seen = MappingProxyType({})


@dataclass(frozen=True)
class Check:
    """Holds where one of the behaviours `ids` is seen, or something like it is and the answer to `form` says what is
    `wanted`. Without ids the answer tells, without `wanted` what is seen."""

    form: str
    wanted: str = "yes"
    ids: frozenset[str] = frozenset()

    def known(self, seen: Seen) -> bool | None:
        """Whether it holds, where what is seen tells."""
        if not self.ids.isdisjoint(seen):
            return True
        if self.ids and seen and not any(family & self.ids and not family.isdisjoint(seen) for family in RELATIVES):
            return False
        return None if self.wanted else not seen

    def holds(self, said: Mapping[str, str], seen: Seen) -> bool:
        """said: the answers by form."""
        known = self.known(seen)
        if known is not None:
            return known
        return bool(re.search(rf"\b{re.escape(self.wanted)}\b", said[self.form].lower()))


@dataclass(frozen=True)
class Asked:
    """How a question is put to a language model.

    kind: of `tdmm.corpus.language.questions.KINDS`, empty where the question is not understood. form: what is asked of
    the model, then the question itself; its answer is the answer, if all `checks` hold, else that is `otherwise`. form
    empty: the answer is yes if they hold. timed: `when` or `how long`, which is known where the first check is seen.
    """

    form: str
    kind: str = ""
    checks: tuple[Check, ...] = ()
    otherwise: str = NO
    timed: str = ""

    def forms(self, seen: Seen = NOTHING_KNOWN) -> tuple[str, ...]:
        """All that the model has to be asked, each once, `form` last."""
        known = {check: check.known(seen) for check in self.checks}
        if False in known.values() or self._time(seen):
            return ()
        asked = dict.fromkeys(one.form for one in self.checks if known[one] is None and one.form != self.form)
        return (*asked, self.form) if self.form else tuple(asked)

    def answer(self, answers: Sequence[str], seen: Seen = NOTHING_KNOWN) -> str:
        """The answer, by those to `forms(seen)`."""
        said = dict(zip(self.forms(seen), answers, strict=True))
        if not all(check.holds(said, seen) for check in self.checks):
            return self.otherwise
        return self._time(seen) or (said[self.form] if self.form else YES)

    def _time(self, seen: Seen) -> str:
        """The answer, where what is seen tells it: better than a model does that is asked."""
        found = [seen[name] for name in seen if name in self.checks[0].ids] if self.timed else []
        if not found:
            return ""
        start, seconds = min(found)
        return f"At {start:.1f} seconds." if self.timed == "when" else f"For about {seconds:.1f} seconds."


@lru_cache(maxsize=4096)
def understand(question: str) -> Asked:
    """How to put a question. One in a form that was taught stays as it is, and so does one that is not understood."""
    taught = _taught(question)
    if taught is not None:
        return taught
    said = _plain(question)
    for pattern, put in _SORTS:
        match = re.search(pattern, said)
        found = put(said, match) if match else None
        if found is not None:
            return found
    return Asked(question)


# -- the forms that were taught --------------------------------------------------------------------------


def _taught(question: str) -> Asked | None:
    """A question that stands as the corpus asks it, to the letter."""
    for sort, forms in WHOLE.items():
        if question in forms:
            return _of_whole(sort, question)
    for sort, pattern in _patterns():
        match = pattern.fullmatch(question)
        named = [_ids_of(slot, said) for slot, said in match.groupdict().items()] if match else []
        if not named or not all(ids for ids, _ in named):
            continue
        if sort == "order":
            return Asked(question, "order")
        ids, side = named[0]
        one = behaviours()[min(ids)]
        if sort == "yes-no":
            # Nor does the corpus ever ask for the wrong side.
            right = (Check(_form("side", one), side),) if side else ()
            return Asked("", sort, (Check(question, "yes", ids), *right))
        check = replace(_happens(one), ids=ids)
        return Asked(question, _KIND.get(sort, sort), (check,), _OTHERWISE[sort], _timed(sort))
    return None


def _timed(sort: str) -> str:
    return sort if sort in ("when", "how long") else ""


def _of_whole(sort: str, form: str) -> Asked:
    """What has to be seen is something of that kind."""
    if sort == "stillness":
        return Asked(form, sort)
    return Asked(form, sort, (Check(form, "", frozenset(one.id for one in of_kind(sort))),), _OTHERWISE[sort])


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((kind, re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(form)))) for kind, form in _OF_ONE)


def _ids_of(slot: str, said: str) -> tuple[frozenset[str], str]:
    """Of what stands in a slot of a form, with the side that it names."""
    if slot in ("name", "emotion"):
        one = behaviours().get(said.lower().replace(" ", "_"))
        fits = one is not None and (slot == "emotion") == (one.kind == "emotion")
        return frozenset({one.id} if one is not None and fits else ()), ""
    return _clauses(slot.rstrip("2")).get(said, (frozenset(), ""))


@cache
def _clauses(form: str) -> Mapping[str, tuple[frozenset[str], str]]:
    """All that the corpus may say that the person does, with the ids of what that is and its side."""
    found: dict[str, tuple[frozenset[str], str]] = {}
    for name, one in ways().items():
        for phrase in (*one.verbs, *one.verbs_side):
            for side in SIDES if "{side}" in phrase else ("",):
                clause = fill(phrase, form, THEY, side)
                ids, _ = found.get(clause, (frozenset(), ""))
                found[clause] = ids | {name}, side
    return found


def _clause(one: Behaviour, form: str, side: str = "") -> str:
    found = ways()[one.id]
    phrases = found.verbs_side if side and found.verbs_side else found.verbs or found.verbs_side
    return fill(phrases[0], form, THEY, side)


def _form(sort: str, one: Behaviour, side: str = "", other: str = "") -> str:
    """The form that asks for that; the first one, where there are several. other: a second gerund."""
    side = side or (SIDES[0] if one.sided else "")
    form = next(form for name, form in _OF_ONE if name == sort)
    clauses = {name: _clause(one, name, side) for name in ("base", "gerund")}
    filled = form.format(name=one.name, emotion=one.name, gerund2=other, **clauses)
    return filled[:1].upper() + filled[1:]


def _happens(one: Behaviour, side: str = "") -> Check:
    """That it is there, on whichever side."""
    if one.kind == "emotion":  # the corpus never asks for one that is not there
        return Check(WHOLE["emotion"][0], one.name, frozenset({one.id}))
    return Check(_form("yes-no", one, side), "yes", frozenset({one.id}))


def _about(sort: str, event: Event) -> Asked:
    """What is asked of an event, where it happens."""
    one = event.behaviour
    check = _happens(one, event.side)
    return Asked(_form(sort, one, event.side), _KIND.get(sort, sort), (check,), _OTHERWISE[sort], _timed(sort))


# -- what people ask -------------------------------------------------------------------------------------

_AUXILIARY = "(?:does|do|did|is|are|was|were|has|have|had|can|could|will|would)"
_WHO = r"(?:(?:s?he|they|it|you|one|someone|(?:the|this|that|a) (?:\w+ )?\w+|his|her|their) )"
_NOUN = (
    r"(?:eyes?|eyebrows?|brows?|cheeks?|lids?|eyelids?|nostrils?|shoulders?|lips?|"
    r"(?:mouth )?corners?(?: of (?:the|\w+) mouth)?)"
)
_TOWARDS = "(?:to|towards?|on|onto|with|in|into|over|at|from|for|by|of|using)"
_STRONG = (
    "(?:strong(?:ly)?|intense(?:ly)?|much|hard|wide(?:ly)?|broad(?:ly)?|far|deep(?:ly)?|big|great|vigorous(?:ly)?|"
    "heav(?:y|ily)|clear(?:ly)?|visibl[ey]|pronounced|marked(?:ly)?|high|forceful(?:ly)?|obvious(?:ly)?|"
    "noticeabl[ey]|exaggerated|subtle|severe(?:ly)?)"
)
_FEELINGS = "(?:emotions?|emotional(?:ly)?|feelings?|mood|feel(?:s|ing)?|expressions?)"
_MOMENT = "(?:times?|seconds?|moments?|points?|instants?|timestamps?)"
_DOES = "(?:do|does|doing|done|happen(?:s|ed|ing)?|see|seen|show|shown|going on)"
_SAYS = "(?:talk|speak)(?:s|ing)?"
_CHANGES = (
    (re.compile(r"[\u2018\u2019]"), "'"),
    (re.compile(r"\b(what|where|when|how|who|which|she|he|it|that|there)'s\b"), r"\1 is"),
    (re.compile(r"\b(they|you|we)'re\b"), r"\1 are"),
    # "Doesn't she smile?" asks whether she does.
    (re.compile(r"\b(does|do|did|is|are|was|were|has|have|had|could|would)n'?t\b"), r"\1"),
    (re.compile(r"[.!?\s]+$"), ""),
    (re.compile(r"\s+"), " "),
    # What leads to a question, and leaves it as it is.
    (
        re.compile(
            r"^(?:(?:and|so|ok|okay|well|hey|hi|please|now|then)[, ]+|"
            r"(?:(?:can|could|would) you )?(?:please )?(?:tell|show) (?:me|us)[,:]? |"
            r"(?:do you know|i wonder|i want to know|i would like to know)[,:]? |"
            r"at any (?:time|point),? |in (?:this|the) (?:clip|video|motion|animation),? )+"
        ),
        "",
    ),
    (re.compile(r"^do you (?:see|think|notice|believe)(?: that)? "), "is "),
)


def _plain(question: str) -> str:
    """In lower case, without contractions and what leads to the question."""
    said = question.lower().strip()
    for pattern, instead in _CHANGES:
        said = pattern.sub(instead, said)
    return said


def _named(text: str, fits: Callable[[Behaviour], bool] | None = None) -> Event | None:
    """What a text names, the first that fits."""
    return next((one.event for one in _all_named(text) if fits is None or fits(one.event.behaviour)), None)


def _all_named(text: str) -> list[Statement]:
    return parse_text(re.sub(r"\b(?:not|never|ever|at all|without)\b", " ", text)).statements


def _rest(said: str, match: re.Match[str]) -> str:
    """What a question says beside the words of asking."""
    return re.sub(rf"^{_AUXILIARY} ", "", f"{said[: match.start()]} {said[match.end() :]}".strip())


def _when(said: str, match: re.Match[str]) -> Asked | None:
    if re.search(r"\b(?:stop|end|finish|cease|quit)", said):
        return None  # no form asks for it
    starts = r"\b(?:start|begin|take place|happen|occur|come|first)(?:s|ning|ting|ing|ed)?(?: to)?\b"
    event = _named(re.sub(starts, " ", _rest(said, match)))
    return None if event is None else _about("when", event)


def _how_long(said: str, match: re.Match[str]) -> Asked | None:
    lasts = r"\b(?:last|take|go on|keep on|continue)(?:s|ing|ed)?\b|\bfor\b"
    rest = re.sub(lasts, " ", _rest(said, match))
    event = _named(rest)
    until = re.search(r"\b(?:until|till|before)\b", rest)
    return None if event is None else _about("when" if until else "how long", event)


def _count(said: str, match: re.Match[str]) -> Asked | None:
    rest = _rest(said, match)
    event = _named(rest, lambda one: one.repeats) or _named(rest)
    return None if event is None else _about("count", event)


def _side(said: str, match: re.Match[str]) -> Asked | None:
    """Read with left in the place of what asks for the side, so that phrases with a side are found."""
    groups = match.groupdict(default="")
    noun, where = groups.get("noun", ""), groups.get("where", "")
    rest = re.sub(rf"^{_WHO}", "", f"{_rest(said, match)} ").strip()
    left = f"{groups['towards']} left {noun}" if noun else "to the left" if where in ("side", "direction") else "left"
    tries = [f"{rest} {left}", f"{left} {rest}", f"{rest} to the left", rest, said]
    if match.start():
        tries.insert(0, f"{said[: match.start()]} left {said[match.end() :]}")
    for text in tries:
        event = _named(text, lambda one: one.sided or one.sides)
        if event is not None:
            return _about("side", event)
    return None


def _intensity(said: str, match: re.Match[str]) -> Asked | None:
    event = _named(_rest(said, match))
    return None if event is None else _about(_strength(event), event)


def _how_felt(said: str, match: re.Match[str]) -> Asked | None:
    """`how happy is she`."""
    event = _named(_rest(said, match))
    return None if event is None or event.behaviour.kind != "emotion" else _about("feeling", event)


def _strength(event: Event) -> str:
    return "feeling" if event.behaviour.kind == "emotion" else "intensity"


def _after(said: str, match: re.Match[str]) -> Asked | None:
    event = _named(match["what"])
    return None if event is None else _about("after", event)


def _which_first(said: str, match: re.Match[str]) -> Asked | None:
    both = _all_named(_rest(said, match))
    return Asked(_first(both[0].event, both[1].event), "order") if len(both) == 2 else None


def _first(one: Event, two: Event) -> str:
    return _form("order", one.behaviour, one.side, _gerund(two))


def _gerund(event: Event) -> str:
    return _clause(event.behaviour, "gerund", event.side or (SIDES[0] if event.behaviour.sided else ""))


def _before(said: str, match: re.Match[str]) -> Asked | None:
    one, two = _named(match["one"]), _named(match["two"])
    if one is None or two is None:
        return None
    wanted = _gerund(one if match["how"] == "before" else two)
    both = (_happens(one.behaviour, one.side), _happens(two.behaviour, two.side))
    return Asked("", "order", (*both, Check(_first(one, two), wanted)))


def _still(said: str, match: re.Match[str]) -> Asked | None:
    parsed = parse_text(said)
    if any(one.event.id != "keep_still" for one in parsed.statements):
        return None
    still = parsed.head_still
    if still is None:
        still = not re.search(r"\bmov|\bmotion\b", said)
    form = WHOLE["stillness"][0]
    return Asked(form, "stillness") if still else Asked("", "stillness", (Check(form, "no"),))


def _whole(sort: str) -> Callable[[str, re.Match[str]], Asked | None]:
    return lambda said, match: _of_whole(sort, WHOLE[sort][0])


def _yes_no(said: str, match: re.Match[str]) -> Asked | None:
    """Everything that is named has to be there, as often, as strongly and on the side that is said."""
    named = _all_named(said)
    if re.search(r"\bseconds?\b|\d ?s\b", said):
        return None  # no form asks what there is at a time
    if re.search(r"\bor\b", said):
        feelings = named and all(one.event.behaviour.kind == "emotion" for one in named)
        return _of_whole("emotion", WHOLE["emotion"][0]) if feelings else None
    if not named:
        return None
    checks = []
    for one in named:
        event, behaviour = one.event, one.event.behaviour
        checks.append(_happens(behaviour, event.side))
        if event.side:
            checks.append(Check(_form("side", behaviour), event.side))
        if "count" in one.said:
            checks.append(Check(_form("count", behaviour, event.side), _TIMES[event.count]))
        if "level" in one.said and not behaviour.full and behaviour.kind not in ("speech", "gaze"):
            checks.append(Check(_form(_strength(event), behaviour, event.side), event.level))
    return Asked("", "yes-no", tuple(dict.fromkeys(checks)))


# In their order: the words of asking, and what puts the question.
_SORTS: tuple[tuple[str, Callable[[str, re.Match[str]], Asked | None]], ...] = (
    (r"^what\b.*?\b(?:after|follow(?:s|ing|ed)?)\b(?P<what>.+)", _after),
    (r"^(?:which|what)\b.*?\b(?:first|earlier|sooner)\b|\bfirst\b(?=.* or )", _which_first),
    (rf"^{_AUXILIARY}\b(?P<one>.+)\b(?P<how>before|after)\b(?P<two>.+)", _before),
    (r"(?:\bfor )?\bhow (?:long|many seconds|much time)\b|^what is the (?:duration|length) of\b", _how_long),
    (
        rf"^(?:{_TOWARDS} )?(?:what|which) (?:is the )?(?:exact )?{_MOMENT}(?: in time)?(?: of)?\b|"
        r"^when(?: exactly)?\b|^how (?:soon|early|late|far in)\b",
        _when,
    ),
    (r"\bhow (?:often|frequently|many(?: times)?)\b|^(?:what is the )?(?:number of|count(?: of)?)\b", _count),
    (
        rf"^(?:where|(?:{_TOWARDS} )?(?:which|what) (?:way|direction)) {_AUXILIARY} {_WHO}(?:\w+ )?"
        r"(?:look|gaze|star(?:e|ing)|glance|eyes)(?:s|ing|ed)?"
        rf"(?: {_TOWARDS}| go| going| pointing| directed)?$",
        _whole("gaze"),
    ),
    (
        rf"(?:\b{_TOWARDS} )?(?:the )?\b(?:left|right) (?:(?:{_NOUN}|side) )?or "
        rf"(?:{_TOWARDS} )?(?:the )?(?:left|right)\b",
        _side,
    ),
    (
        rf"^(?:(?P<towards>{_TOWARDS}) )?(?:which|what) (?:one )?(?:of (?:the|her|his|their) )?"
        rf"(?:(?P<noun>{_NOUN})|(?P<where>side|way|direction))\b",
        _side,
    ),
    (
        rf"^how {_STRONG}\b|^(?:what is|with what) (?:the )?(?:intensity|strength|level|degree)(?: of)?\b",
        _intensity,
    ),
    (rf"^{_AUXILIARY} .*\b(?:head\b|hold(?:s|ing)? still)", _still),
    (
        rf"^(?:how|in (?:what|which) (?:way|voice|manner)) .*\b{_SAYS}$|^how .*\b(?:speech|voice)\b|"
        rf"^what .*\bvoice\b|\b(?:way|manner|kind|style) of (?:{_SAYS}|speech)\b",
        _whole("speech"),
    ),
    (
        rf"^(?:in )?(?:what|which|how)\b.*\b{_FEELINGS}\b|^how {_AUXILIARY} {_WHO}?(?:look|seem|appear|do)(?:ing)?$",
        _whole("emotion"),
    ),
    (r"^where\b", _side),
    (r"^(?:what|how|which|where) .*\bhead\b", _whole("head")),
    (r"^how ", _how_felt),
    (r"^(?:what|how|where|which) .*\b(?:eyes|gaze|look(?:s|ing|ed)?)\b(?! like)", _whole("gaze")),
    (
        r"^what (?!.*\b(?:first|before|last|like|wear|end|beginning|start|seconds?))"
        rf".*\b{_DOES}(?: (?:with|in|on|to|at|here|there|by) .*)?$",
        _whole("action"),
    ),
    (rf"^(?:{_AUXILIARY}|any)\b", _yes_no),
)
