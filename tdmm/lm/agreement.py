"""Which of several drafts of a description agrees best with the others.

The same thing can be said in many ways, which share its likelihood: the likeliest sentence need not say what is
likeliest. What most drafts state is. This is minimum Bayes risk decoding (Kumar and Byrne, 2004) by the F1 of stated
attributes, for which drafts drawn from the model stand both as hypotheses and as evidence (Eikema and Aziz, 2020).
Texts in another form, which say the same at other length, are evidence that errs in other places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from tdmm.corpus.language.attributes import attributes_of_text
from tdmm.corpus.language.parse import parse_text

# What a text may say or leave out without saying anything else of what happens.
_ASIDE = ("absence",)


def most_agreed(drafts: Sequence[str], witnesses: Sequence[str] = ()) -> str:
    """Of some texts the one whose attributes agree best with those of the others and of the witnesses; of equals the
    first.

    Texts in which nothing is understood agree with each other. Raises `ValueError` for no texts.
    """
    stated, told = [_stated(draft) for draft in drafts], [_stated(text) for text in witnesses]
    scores = [
        sum(_agree(one, other) for other in (*stated[:own], *stated[own + 1 :], *told))
        for own, one in enumerate(stated)
    ]
    return drafts[scores.index(max(scores))]


def _agree(one: Counter[Any], other: Counter[Any]) -> float:
    """The F1 of one against the other."""
    both = one.total() + other.total()
    return 2 * (one & other).total() / both if both else 1.0


@lru_cache(maxsize=1024)
def _stated(text: str) -> Counter[Any]:
    kinds = attributes_of_text(parse_text(text))
    return Counter(
        {(kind, what): count for kind, some in kinds.items() if kind not in _ASIDE for what, count in some.items()}
    )
