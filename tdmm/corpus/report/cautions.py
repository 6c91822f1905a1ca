"""What somebody who wants to train on a corpus should know first, one sentence each."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tdmm.corpus.report.fields import NOT_STATED
from tdmm.corpus.report.summary import Summary

# Above these a report speaks up.
_UNEVEN = 0.5
_NEAR_DUPLICATES = 0.05
_REPEATED = 0.1

_OPEN = re.compile(
    r"cc0|cc-by(-sa)?(-\d|$)|mit\b|apache|bsd|isc\b|pddl|odc-by|odbl|cdla-permissive|unlicense|public-domain", re.I
)
_RESTRICTIONS = (
    (re.compile(r"\bnc\b|non-?commercial", re.I), "forbids commercial use"),
    (re.compile(r"\bnd\b|no-?deriv", re.I), "forbids derived works, which a trained model may be"),
    (re.compile(r"no-?train|no-?ai\b|no-?machine", re.I), "forbids training"),
    (re.compile(r"research|academic|educational", re.I), "allows research only"),
    (re.compile(r"proprietary|all-rights|copyright", re.I), "grants no rights by itself"),
)


def cautions(summary: Summary) -> list[str]:
    """The warnings of a report, the gravest first; none for a corpus in good order."""
    return [*_licences(summary), *_texts(summary), *_missing(summary), *_uneven(summary)]


def restriction_of(licence: str) -> str:
    """What a licence forbids or leaves unclear for training; empty for those known to be open."""
    if licence == NOT_STATED:
        return "no licence is stated: ask before training on these"
    plain = re.sub(r"[\s_/]+", "-", licence.strip())
    for pattern, meaning in _RESTRICTIONS:
        if pattern.search(plain):
            return meaning
    return "" if _OPEN.match(plain) else "is not one that tdmm knows: read it before training"


def _licences(summary: Summary) -> Iterator[str]:
    for licence, n in summary.licences.items():
        if meaning := restriction_of(licence):
            yield (
                f"{_clips(n)}: {meaning}" if licence == NOT_STATED else f"{_clips(n)} under {licence}, which {meaning}"
            )


def _texts(summary: Summary) -> Iterator[str]:
    texts, near = summary.texts, summary.near_duplicates
    if texts.across_splits:
        said = "1 text is" if texts.across_splits == 1 else f"{texts.across_splits:,} texts are"
        yield f"{said} in more than one split: scores on the test splits may be too good"
    if texts.clips and 1 - texts.distinct_share > _REPEATED:
        yield f"{1 - texts.distinct_share:.0%} of the texts repeat another clip's word for word"
    if near.share > _NEAR_DUPLICATES:
        yield f"{near.share:.0%} of the distinct texts are nearly the same as another one"
    if texts.clips < summary.clips:
        yield f"{_clips(summary.clips - texts.clips)} without a text: they teach motion, not language"


def _missing(summary: Summary) -> Iterator[str]:
    if missing := summary.clips - summary.with_motion:
        yield f"{_clips(missing)} without a motion: run `tdmm fit` on the corpus before training"
    if missing := summary.clips - (summary.durations.known if summary.durations else 0):
        yield f"{_clips(missing)} without a duration" + (
            ": the hours are those of the others" if summary.durations else ""
        )


def _uneven(summary: Summary) -> Iterator[str]:
    for slot, variation in summary.evenness.items():
        if variation > _UNEVEN:
            counts = list(summary.slots[slot].items())
            (most, n_most), (least, n_least) = counts[0], counts[-1]
            yield (
                f"the categories of {slot} are uneven (coefficient of variation {variation:.2f}): "
                f"{most} has {_clips(n_most)}, {least} has {n_least:,}"
            )


def _clips(n: int) -> str:
    return f"{n:,} clip" + "s" * (n != 1)
