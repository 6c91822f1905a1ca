"""The report of a corpus: its numbers, near-duplicates, warnings, and a page that stands alone."""

from __future__ import annotations

import io
import itertools
import json
import random
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tdmm.corpus.report import plots, summarise, write_report
from tdmm.corpus.report.cautions import cautions, restriction_of
from tdmm.corpus.report.frames import Example, examples_of
from tdmm.corpus.report.near_duplicates import THRESHOLD, find_near_duplicates
from tdmm.corpus.report.style import DARK, LIGHT
from tdmm.corpus.report.summary import CELL_SLOTS
from tdmm.errors import CorpusError, MissingPartError
from tdmm.io.manifest import Clip, read_manifest
from tdmm.io.video import write_video

VOID = {"meta", "img", "source", "br"}


def clip(number, **fields):
    """A line as tdmm writes it."""
    line = {
        "id": f"p{number}",
        "motion": f"motions/p{number}.npz",
        "video": f"videos/p{number}.mp4",
        "text": f"text of clip {number}",
        "slots": {"emotion": "joy", "intensity": "slight", "action": "smile", "head": "nod"},
        "generator": {"name": "procedural"},
        "split": "train",
        "duration": 2.0,
        "licence": "CC0-1.0",
    }
    return {name: value for name, value in {**line, **fields}.items() if value is not None}


FOUR = [
    clip(
        0,
        text="She smiles, then nods twice.",
        prompt="A joyful woman. She smiles happily, then nods twice.",
        texts=["smiles and nods", "a nod after a smile"],
        events=[
            {"id": "smile", "kind": "action"},
            {"id": "nod", "kind": "head", "count": 2},
            {"id": "blink", "kind": "action", "absent": True},
        ],
    ),
    clip(1, text="She smiles, then nods twice.", split="test", motion=None, events=[{"id": "smile", "kind": "action"}]),
    clip(
        2,
        text="He frowns angrily.",
        slots={"emotion": "anger", "intensity": "strong", "action": "frown"},
        generator={"name": "diffusers", "model": "some/model"},
        licence="CC-BY-NC-4.0",
        duration=5.0,
    ),
    clip(3, text=None, video=None, slots={"emotion": "joy", "gaze": "look_up"}, licence=None, duration=None),
]


@pytest.fixture
def corpus(tmp_path):
    """Writes lines as the manifest of a corpus folder and gives its path."""

    def write(lines, name="manifest.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


# -- numbers --------------------------------------------------------------------------------------


def test_known_answers():
    found = summarise(FOUR)
    assert (found.clips, found.with_video, found.with_motion) == (4, 3, 3)
    assert found.hours == pytest.approx(9 / 3600)
    assert (found.durations.known, found.durations.median, found.durations.mean) == (3, 2.0, 3.0)
    assert (found.durations.shortest, found.durations.longest, sum(found.durations.counts)) == (2.0, 5.0, 3)
    assert found.splits == {"train": 3, "test": 1}
    assert found.generators == {"procedural": 3, "diffusers: some/model": 1}
    assert found.licences == {"CC0-1.0": 2, "CC-BY-NC-4.0": 1, "not stated": 1}
    assert found.slots == {
        "emotion": {"joy": 3, "anger": 1},
        "intensity": {"slight": 2, "strong": 1},
        "action": {"smile": 2, "frown": 1},
        "head": {"nod": 2},
        "gaze": {"look_up": 1},
    }
    assert found.slots_by_generator["action"]["frown"] == {"diffusers: some/model": 1}
    assert found.evenness["emotion"] == pytest.approx(1 / 2)  # of 3 and 1: deviation 1, mean 2
    assert found.evenness["head"] == 0
    assert found.events == {"action": {"smile": 2}, "head": {"nod": 1}}
    assert found.absent_events == 1
    assert found.coverage["head"] == {"joy": {"nod": 2}}
    assert found.coverage["action"] == {"anger": {"frown": 1}, "joy": {"smile": 2}}


def test_cells_count_clips_without_a_category_as_one_more():
    found = summarise(FOUR).cells
    assert found.sizes == dict(zip(CELL_SLOTS, (2, 3, 3, 2), strict=True))
    assert (found.filled, found.possible, found.fullest) == (3, 36, 2)


def test_texts():
    found = summarise(FOUR)
    assert (found.texts.clips, found.texts.distinct, found.texts.phrasings) == (3, 2, 2)
    assert found.texts.distinct_share == pytest.approx(2 / 3)
    assert found.texts.words == 8  # she smiles then nods twice, he frowns angrily
    assert found.texts.mean_words == pytest.approx((5 + 5 + 3) / 3)
    assert found.texts.across_splits == 1
    assert found.prompt_words["smiles"] == 2
    assert "then" not in found.prompt_words
    assert set(found.emotion_words) >= {"joyful", "happily", "angrily"}
    assert "smiles" not in found.emotion_words


def test_json_holds_the_whole_summary():
    found = json.loads(json.dumps(summarise(FOUR).as_dict(), allow_nan=False))
    assert found["slots"]["emotion"] == {"joy": 3, "anger": 1}
    assert found["near_duplicates"]["near"] == 0


def test_a_corpus_from_elsewhere():
    found = summarise([{"id": "a", "video": "a.mp4", "text": "smiles"}, {"file_name": "b.mp4", "license": "MIT"}])
    assert (found.clips, found.with_video, found.with_motion, found.hours) == (2, 2, 0, 0)
    assert found.durations is found.cells is None
    assert found.slots == found.coverage == found.events == {}
    assert found.licences == {"MIT": 1, "not stated": 1}


@pytest.mark.parametrize(
    "fields",
    [
        {"text": 3, "prompt": ["x"], "texts": "no list", "generator": "folder", "split": None, "licence": 4},
        {"slots": ["joy"], "events": {"id": "nod"}, "generator": {"name": None}},
        {"slots": {"emotion": {"deep": 1}, "action": None, "head": True}, "events": [3, {"id": None}, {"id": "nod"}]},
        {"duration": float("nan")},
        {"duration": -1},
        {"duration": True},
        {"duration": "4"},
    ],
)
def test_what_is_not_as_expected_is_not_there(fields):
    found = summarise([{"id": "a", "video": "a.mp4", **fields}])
    assert found.clips == 1
    assert found.durations is None
    assert found.slots == {}
    json.dumps(found.as_dict(), allow_nan=False)


def test_categories_may_be_lists_and_numbers():
    found = summarise([clip(0, slots={"emotion": ["joy", "surprise", "joy"], "intensity": 2})])
    assert found.slots == {"emotion": {"joy": 1, "surprise": 1}, "intensity": {"2": 1}}


def test_without_known_emotion_words_the_categories_stand_in():
    assert summarise([clip(0, text="blinks", slots={"emotion": "zest"})]).emotion_words == {"zest": 1}


def test_a_rare_long_clip_leaves_the_others_apart():
    durations = summarise([*(clip(i, duration=2 + i % 5) for i in range(300)), clip(300, duration=3600.0)]).durations
    assert durations.longest == 3600
    assert np.count_nonzero(durations.counts) == 6
    assert sum(durations.counts) == 301


def test_nothing_to_sum_up():
    with pytest.raises(CorpusError, match="without clips"):
        summarise([])


# -- near-duplicates ------------------------------------------------------------------------------


def test_case_and_punctuation_do_not_tell_texts_apart():
    found = find_near_duplicates(["She smiles, then nods.", "she smiles then nods", "He yawns slowly."])
    assert (found.texts, found.near, found.groups, found.largest) == (3, 2, 1, 2)
    assert found.share == pytest.approx(2 / 3)
    (pair,) = found.examples
    assert (pair.first, pair.second, pair.similarity) == ("She smiles, then nods.", "she smiles then nods", 1.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("She smiles.", "He smiles."),
        ("nods twice", "nods three times"),
        ("looks up, then to the left", "looks down, then to the right"),
        ("微笑", "皱眉"),
        ("!", "?"),
        ("a", "b"),
    ],
)
def test_texts_that_say_different_things_are_not_near(first, second):
    assert find_near_duplicates([first, second]).near == 0


def test_equal_texts_are_one():
    found = find_near_duplicates(["nods"] * 5)
    assert (found.texts, found.near, found.examples) == (1, 0, ())
    assert find_near_duplicates([]).share == 0


def test_as_comparing_all_pairs_would_tell():
    rng = random.Random(0)
    people = ["a young woman", "an old man", "a girl with freckles", "a bald man with a beard"]
    looks = ["cheerful", "cheerfully", "angry", "surprised by it all", "quite tired", "deeply moved"]
    moves = ["nods", "nods twice", "shakes the head", "looks up", "raises the brows", "purses the lips", "winks"]
    texts = sorted(
        {
            f"{rng.choice(people)} looks {rng.choice(looks)}, {rng.choice(moves)} and then {rng.choice(moves)} slowly"
            for _ in range(600)
        }
    )
    sets = [
        {(f"  {text.replace(',', '')}  ")[i : i + 4] for i in range(len(text.replace(",", "")) + 1)} for text in texts
    ]
    near = {
        i
        for pair in itertools.combinations(range(len(texts)), 2)
        if len(sets[pair[0]] & sets[pair[1]]) / len(sets[pair[0]] | sets[pair[1]]) >= THRESHOLD
        for i in pair
    }
    found = find_near_duplicates(texts, examples=1000)
    assert 50 < len(near) < len(texts)
    # What hashing misses is little, and what it finds is counted exactly.
    assert 0.99 * len(near) <= found.near <= len(near)
    where = {text: i for i, text in enumerate(texts)}
    for pair in found.examples:
        first, second = sets[where[pair.first]], sets[where[pair.second]]
        assert pair.similarity == pytest.approx(len(first & second) / len(first | second), abs=1e-3)


def test_planted_near_duplicates_among_many():
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    texts = [" ".join("".join(rng.choice(letters, 6)) for _ in range(8)) for _ in range(3000)]
    copies = [f"{text} so" for text in texts[:200]]
    found = find_near_duplicates([*texts, *copies])
    assert (found.near, found.groups, found.largest) == (400, 200, 2)
    assert len(found.examples) == 12


# -- warnings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("licence", "told"),
    [
        ("CC0-1.0", ""),
        ("CC-BY-4.0", ""),
        ("CC BY-SA 4.0", ""),
        ("MIT", ""),
        ("Apache-2.0", ""),
        ("CC-BY-NC-4.0", "commercial"),
        ("cc_by_nc_sa_4.0", "commercial"),
        ("CC-BY-ND-4.0", "derived"),
        ("Non-commercial research only", "commercial"),
        ("academic use", "research"),
        ("All rights reserved", "no rights"),
        ("LicenseRef-Mine", "read it"),
        ("not stated", "no licence"),
    ],
)
def test_licences_that_restrict_training(licence, told):
    assert told in restriction_of(licence)
    assert bool(told) == bool(restriction_of(licence))


def test_what_to_beware_of():
    told = "\n".join(cautions(summarise(FOUR)))
    assert "1 clip under CC-BY-NC-4.0, which forbids commercial use" in told
    assert "1 clip: no licence is stated" in told
    assert "1 text is in more than one split" in told
    assert "33% of the texts repeat" in told
    assert "1 clip without a motion" in told
    assert "1 clip without a duration" in told
    assert cautions(summarise([clip(i, text=f"{word} twice") for i, word in enumerate(("nods", "yawns"))])) == []


def test_uneven_categories_are_named():
    lines = [clip(i, slots={"emotion": "joy" if i else "fear"}) for i in range(9)]
    (told,) = (one for one in cautions(summarise(lines)) if "uneven" in one)
    assert "joy has 8 clips, fear has 1" in told


# -- plots ----------------------------------------------------------------------------------------


def opened(png):
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_plots_stand_on_the_colour_of_the_page(theme):
    found = summarise(FOUR)
    drawn = [
        plots.bars_by_category(found.slots_by_generator, theme),
        plots.bars_by_name(found.splits, "Splits", theme),
        plots.histogram(found.durations, theme),
        plots.heat_map(found.coverage["action"], "emotion", "action", theme),
        plots.word_cloud(found.prompt_words, theme),
    ]
    for png in drawn:
        image = opened(png)
        np.testing.assert_allclose(image[0, 0], tuple(bytes.fromhex(theme.surface[1:])), atol=3)
        assert image.std() > 3


def test_many_categories_and_generators_are_shortened():
    slots = {"action": {f"action {i}": {f"generator {i % 9}": 1000 - i} for i in range(500)}}
    few = {"action": dict(list(slots["action"].items())[:90])}
    assert opened(plots.bars_by_category(slots)).shape == opened(plots.bars_by_category(few)).shape
    wide = {f"e{i}": {f"h{j}": 1 + i * j for j in range(200)} for i in range(200)}
    assert opened(plots.heat_map(wide, "emotion", "head")).shape[1] == 12 * 150


def test_dollars_and_foreign_scripts_in_labels(recwarn):
    names = ["$x^2", "a_b", "微笑", "\x00\n\ud800", "<b>"]
    plots.bars_by_category({"emotion": {name: {"$\\frac{": 1, "g": 2} for name in names}})
    plots.heat_map({name: dict.fromkeys(names, 1) for name in names}, "$emotion", "$head")
    plots.word_cloud(dict.fromkeys(names, 3))
    plots.example_sheet([Example("$\\alpha \ud800", (np.zeros((8, 8, 3), np.uint8),))])
    assert not [one for one in recwarn if "lyph" in str(one.message)]


def test_the_global_state_of_pyplot_is_left_alone(corpus, tmp_path):
    write_report(corpus(FOUR), tmp_path / "r.html")
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


# -- example frames -------------------------------------------------------------------------------


@pytest.fixture
def with_videos(corpus, tmp_path):
    """Clips 0 to 3, of which 0 and 1 have videos that are there, from dark to light."""
    (tmp_path / "videos").mkdir()
    for number in (0, 1):
        frames = [np.full((32, 48, 3), 250 * i // 89, np.uint8) for i in range(90)]
        write_video(frames, tmp_path / f"videos/p{number}.mp4", fps=25.0)
    return corpus([clip(i, slots={"emotion": f"e{i}"}) for i in range(4)])


def test_first_middle_and_last_frames(with_videos):
    found = examples_of(read_manifest(with_videos), with_videos.parent)
    assert [example.text for example in found] == ["text of clip 0", "text of clip 1"]
    for example in found:
        assert [frame.mean() for frame in example.frames] == pytest.approx([0, 125, 250], abs=12)


def test_a_picture_where_there_is_no_video(with_videos):
    asked = []

    def picture_of(clip):
        asked.append(clip.id)
        return None if clip.id == "p3" else np.zeros((20, 60, 3), np.uint8)

    found = examples_of(read_manifest(with_videos), with_videos.parent, picture_of=picture_of)
    assert sorted(asked) == ["p2", "p3"]
    assert sorted(len(example.frames) for example in found) == [1, 3, 3]
    assert opened(plots.example_sheet(found)).std() > 10


def test_examples_of_many_emotions(tmp_path):
    lines = [clip(i, slots={"emotion": "joy" if i < 900 else f"e{i % 20}"}) for i in range(1000)]
    clips = [Clip(line["id"], line["video"], line["motion"], line) for line in lines]
    shown = []
    examples_of(clips, tmp_path, picture_of=lambda clip: shown.append(clip) or np.zeros((9, 9, 3), np.uint8))
    assert len(shown) == 12
    assert len({clip.line["slots"]["emotion"] for clip in shown}) >= 5


# -- the page -------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Checks that what is opened is closed, and collects what the page refers to and what it says."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.text, self.tags = [], [], [], set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "srcset", "href", "data", "action")]
        assert all(not name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    """The page, parsed, once it is known to stand alone."""
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert not re.search(r"@import|url\(", text)
    return page


def test_a_page_that_needs_nothing_else(with_videos, tmp_path):
    found = write_report(with_videos, tmp_path / "report.html")
    assert found == summarise(clip.line for clip in read_manifest(with_videos))
    page = read(tmp_path / "report.html")
    said = " ".join(page.text)
    assert "Clips by control category" in said
    assert "Examples" in said
    assert "Near-duplicates" in said
    assert "prefers-color-scheme: dark" in (tmp_path / "report.html").read_text()


def test_everything_is_escaped(corpus, tmp_path):
    evil = '<script>alert("x")</script> & \'<img src="http://example.org/x">\' \ud800'
    lines = [
        clip(
            i,
            text=f"{evil} {'.' * i}",
            slots=dict.fromkeys(("emotion", "action", "head"), evil),
            generator={"name": evil},
            split=evil,
            licence=f"{evil} {i}",
            events=[{"id": evil, "kind": evil}],
        )
        for i in range(2)
    ]
    write_report(corpus(lines), tmp_path / "report.html")
    page = read(tmp_path / "report.html")
    assert sum('<script>alert("x")</script>' in text for text in page.text) >= 6


@pytest.mark.parametrize("name", ["manifest.jsonl", "metadata.jsonl"])
def test_the_page_of_a_corpus_from_elsewhere(corpus, tmp_path, name):
    field = {"manifest.jsonl": "video", "metadata.jsonl": "file_name"}[name]
    path = corpus([{"id": f"x{i}", field: f"x{i}.mp4", "text": f"someone nods {i}"} for i in range(3)], name)
    assert write_report(path, tmp_path / "report.html").with_video == 3
    said = " ".join(Page((tmp_path / "report.html").read_text()).text)
    assert "Clips by control category" not in said
    assert "3 clips: no licence is stated" in said


def test_the_page_of_clips_without_anything(corpus, tmp_path):
    write_report(corpus([{"id": "a", "video": "a.mp4"}]), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert Page(text).links == []
    assert "1 clip without a text" in text


def test_an_empty_corpus_leaves_no_page(corpus, tmp_path):
    with pytest.raises(CorpusError, match=r"manifest\.jsonl: holds no clips"):
        write_report(corpus([]), tmp_path / "report.html")
    with pytest.raises(CorpusError, match="cannot be read"):
        write_report(tmp_path / "nowhere.jsonl", tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("part", ["matplotlib", "wordcloud"])
def test_without_the_extra(corpus, tmp_path, monkeypatch, part):
    monkeypatch.setitem(sys.modules, part, None)
    with pytest.raises(MissingPartError, match=rf"{part}.*pip install 'tdmm\[report\]'"):
        write_report(corpus(FOUR), tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
    assert summarise(FOUR).clips == 4  # numbers need no plots


def test_importing_the_report_imports_no_plots():
    code = "import sys, tdmm.corpus.report; sys.exit('matplotlib' in sys.modules or 'wordcloud' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
