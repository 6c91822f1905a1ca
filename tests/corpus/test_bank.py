"""The bank of free prompts: many, readable in all variants, and nothing of those that are set aside in training."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tdmm.corpus.language import bank as module
from tdmm.corpus.language.bank import FILES, UNSEEN, FreePrompt, bank, draw_variant
from tdmm.corpus.program import check, parse_program
from tdmm.errors import CorpusError

EVERYTHING = (*bank(), *bank(unseen=True))
GENDERS = {
    **dict.fromkeys("he him his himself he's he'll".split(), "he"),
    **dict.fromkeys("she her hers herself she's she'll".split(), "she"),
    **dict.fromkeys("they them their theirs themself themselves they're they'll".split(), "they"),
    **dict.fromkeys("i me my mine myself i'm".split(), "I"),
    **dict.fromkeys("you your yours yourself you're".split(), "you"),
}


def prompt(template: str) -> FreePrompt:
    return FreePrompt(parse_program("smile"), template, "", "test:1")


def texts(one: FreePrompt) -> list[str]:
    return [one.text(number) for number in range(min(one.variants, 400))]


def plain(text: str) -> str:
    """Letters and digits only, as somebody might type it again."""
    return " ".join(re.findall(r"\w+", text.lower()))


def test_there_are_many_and_many_that_are_set_aside() -> None:
    assert len(bank()) >= 2000
    assert len(bank(unseen=True)) >= 200


def test_every_prompt_has_a_program_that_can_be_done_and_a_voice() -> None:
    for one in EVERYTHING:
        check(one.program)
        assert one.program.events()
        assert one.voice, one.source
        assert one.template, one.source


def test_every_prompt_knows_its_file_and_line() -> None:
    assert len({one.source for one in EVERYTHING}) == len(EVERYTHING)
    assert {one.source.partition(":")[0] for one in bank()} == set(FILES) - {UNSEEN}
    assert {one.source.partition(":")[0] for one in bank(unseen=True)} == {UNSEEN}


def test_every_variant_reads() -> None:
    for one in EVERYTHING:
        for text in texts(one):
            assert text, one.source
            assert not re.search(r"[{}|]|  |\bNone\b|^\s|\s$", text), (one.source, text)


def test_variants_are_all_different() -> None:
    for one in EVERYTHING:
        assert len(set(texts(one))) == min(one.variants, 400), one.source


def test_no_alternative_stands_alone() -> None:
    for one in EVERYTHING:
        for group in re.findall(r"\{([^{}]*)\}", one.template):
            assert "|" in group, one.source


def test_what_is_set_aside_occurs_nowhere_in_training() -> None:
    known = {plain(text) for one in bank() for text in texts(one)}
    unseen = [plain(text) for one in bank(unseen=True) for text in texts(one)]
    assert [text for text in unseen if text in known] == []
    assert len(set(unseen)) == len(unseen)
    pairs = {(str(one.program), plain(text)) for one in bank() for text in texts(one)}
    for one in bank(unseen=True):
        assert not any((str(one.program), plain(text)) in pairs for text in texts(one))


def test_no_text_has_two_meanings() -> None:
    meant: dict[str, str] = {}
    for one in EVERYTHING:
        for text in texts(one):
            assert meant.setdefault(text.lower(), str(one.program)) == str(one.program), text


def test_pronouns_that_are_chosen_together_are_of_one_person() -> None:
    for one in EVERYTHING:
        chosen: dict[tuple[int, int], set[str]] = {}
        for group in re.findall(r"\{([^{}]*)\}", one.template):
            options = [GENDERS.get(option.strip().lower()) for option in group.split("|")]
            if all(options):
                for place, gender in enumerate(options):
                    chosen.setdefault((len(options), place), set()).add(str(gender))
        assert all(len(genders) == 1 for genders in chosen.values()), one.source


def test_groups_are_chosen_freely_and_pronouns_together() -> None:
    one = prompt("{He|She} {smiles|grins} at {his|her} {cat|dog|fish}")
    assert one.variants == 2 * 2 * 3
    found = [one.text(number) for number in range(12)]
    assert len(set(found)) == 12
    assert all(("He " in text) == (" his " in text) for text in found)
    assert one.text(12) == one.text(0)


def test_pronouns_of_another_number_of_choices_are_chosen_by_themselves() -> None:
    one = prompt("{He|She|They} sees {him|her}")
    assert one.variants == 6
    assert len({one.text(number) for number in range(6)}) == 6


def test_a_prompt_without_alternatives_is_itself() -> None:
    one = prompt("  smile   now ")
    assert one.variants == 1
    assert one.text(7) == "smile now"


def test_variants_are_drawn_evenly() -> None:
    one, random = prompt("{a|b} {c|d}"), np.random.default_rng(0)
    drawn = [draw_variant(one, random) for _ in range(400)]
    assert all(drawn.count(text) > 60 for text in ("a c", "a d", "b c", "b d"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("smile", "bad.txt, line 3: expected PROGRAM | TEXT"),
        ("smlie | hello", "bad.txt, line 3: 'smlie': there is no behaviour 'smlie'; did you mean smile"),
        ("smile + frown | hm", "bad.txt, line 3: smile + frown: smile and frown cannot happen together"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "data" / "bank"
    folder.mkdir(parents=True)
    (folder / "bad.txt").write_text(f"# voice: nobody\n\n{line}\n")
    monkeypatch.setattr(module, "files", lambda _package: tmp_path)
    with pytest.raises(CorpusError) as failed:
        module._read("bad")
    assert message in str(failed.value)
