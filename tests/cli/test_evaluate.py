"""`tdmm evaluate`: each kind of score through the program, on a small corpus of true motions."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tdmm.cli.app import run
from tdmm.evaluate.evaluator.store import load_evaluator
from tdmm.io.manifest import read_manifest
from tdmm.io.motion_file import read_motion, write_motion

CLIPS, TEST = 64, 40
ANIMATE = ("--workers", 1, "--repeats", 2, "--device", "cpu")


def lines_of(corpus: Path) -> list[dict]:
    return [dict(clip.line) for clip in read_manifest(corpus / "manifest.jsonl")]


def write_lines(path: Path, lines: list[dict]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def make(folder: Path, clips: int, seed: int, *options: str) -> Path:
    arguments = ["generate-corpus", "-o", str(folder), "--clips", str(clips), "--seed", str(seed), "--motions-only"]
    assert run([*arguments, "--workers", "1", "-q", *options]) == 0
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """The first clips are of the split test, the others of val."""
    folder = make(tmp_path_factory.mktemp("evaluate") / "corpus", CLIPS, 81)
    lines = lines_of(folder)
    for number, line in enumerate(lines):
        line["split"] = "test" if number < TEST else "val"
    write_lines(folder / "manifest.jsonl", lines)
    return folder


@pytest.fixture(scope="module")
def ids(corpus) -> list[str]:
    return [line["id"] for line in lines_of(corpus)]


@pytest.fixture(scope="module")
def made_once(corpus, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("predictions") / "p"
    folder.mkdir()
    for line in lines_of(corpus):
        write_motion(read_motion(str(corpus / line["motion"])), folder / f"{line['id']}.npz")
    return folder


@pytest.fixture
def predictions(made_once, tmp_path) -> Path:
    return Path(shutil.copytree(made_once, tmp_path / "p"))


@pytest.fixture
def captions(corpus, tmp_path) -> Path:
    lines = [
        {
            "id": line["id"],
            "text": line["captions"]["medium"],
            "answers": [one["answer"] for one in line["questions"]],
        }
        for line in lines_of(corpus)
    ]
    return write_lines(tmp_path / "captions.jsonl", lines)


# -- animate -------------------------------------------------------------------------------------------


def test_animate_prints_a_table_with_the_signature(tdmm, corpus, made_once):
    outcome = tdmm("evaluate", "animate", made_once, "--reference", corpus, *ANIMATE)
    assert (outcome.code, outcome.stderr) == (0, "")
    lines = outcome.text.splitlines()
    assert lines[0].split() == ["embedding:", "score", "real"]
    assert lines[-2] == f"{CLIPS} references, 0 failed"
    assert lines[-1].startswith(f"animate|protocol:1|tdmm:0.1.0|evaluator:{load_evaluator().fingerprint}|")
    named = {line.partition("  ")[0].rstrip(" +-") for line in lines}
    assert {"R-Precision top-1", "MM-Dist", "FID", "L2", "FD", "recall", "blinks", "clips all right"} <= named
    assert {"embedding:", "curves:", "statistics:", "events:", "event F1 by kind:"} <= {
        line.split("  ")[0] for line in lines
    }
    assert max(map(len, lines[:-1])) < 140


def test_animate_in_json(tdmm, corpus, made_once):
    outcome = tdmm("evaluate", "animate", made_once, "-r", corpus, "--json", *ANIMATE)
    assert outcome.code == 0
    found = outcome.json
    assert (found["task"], found["references"], found["failures"]) == ("animate", CLIPS, [])
    assert found["scores"]["embedding/FID"]["prediction"]["mean"] < 1e-3
    assert found["scores"]["embedding/R-Precision top-1"]["prediction"]["repeats"] == 2
    assert found["signature"].endswith("|failed:0|repeats:2|seed:0|pool:32")


def test_a_split_and_predictions_beyond_it(tdmm, corpus, made_once, ids):
    outcome = tdmm("evaluate", "animate", made_once, "-r", corpus, "--split", "test", "--json", *ANIMATE)
    assert outcome.code == 0
    assert outcome.json["references"] == TEST
    assert outcome.json["without_reference"] == sorted(ids[TEST:])
    assert outcome.stderr.startswith(f"{CLIPS - TEST} predictions are of none of the {TEST} references")
    both = tdmm("evaluate", "animate", made_once, "-r", corpus, "--split", "val,test", "--json", *ANIMATE)
    assert both.json["references"] == CLIPS


def test_failed_predictions_are_listed_and_make_exit_code_1(tdmm, corpus, predictions, ids):
    (predictions / f"{ids[3]}.npz").unlink()
    (predictions / f"{ids[5]}.npz").write_bytes(b"junk")
    outcome = tdmm("evaluate", "animate", predictions, "-r", corpus, *ANIMATE, "--quiet")
    assert outcome.code == 1
    errors = outcome.stderr.splitlines()
    assert errors[0] == f"error: {ids[3]}: there is no prediction"
    assert errors[1].startswith(f"error: {ids[5]}: ")
    assert errors[2] == f"error: 2 of {CLIPS} predictions failed, and count as such"
    assert outcome.text.splitlines()[-2] == f"{CLIPS} references, 2 failed"
    as_json = tdmm("evaluate", "animate", predictions, "-r", corpus, *ANIMATE, "--json")
    assert as_json.code == 1
    assert [one["id"] for one in as_json.json["failures"]] == [ids[3], ids[5]]


def test_many_failures_are_not_all_shown(tdmm, corpus, predictions, ids):
    for name in ids[:30]:
        (predictions / f"{name}.npz").unlink()
    outcome = tdmm("evaluate", "animate", predictions, "-r", corpus, *ANIMATE)
    assert outcome.code == 1
    assert len(outcome.stderr.splitlines()) == 21
    assert outcome.stderr.splitlines()[-1].endswith("and count as such; 10 more are not shown (--json lists them)")


def test_a_plot(tdmm, few, tmp_path):
    arguments = ("evaluate", "fit", few, "--plot", tmp_path / "scores.png")
    assert tdmm(*arguments).code == 0
    with Image.open(tmp_path / "scores.png") as picture:
        assert picture.format == "PNG"
    assert "is already there; replace it with --force" in tdmm(*arguments).error_line
    assert tdmm(*arguments, "--force").code == 0


def test_one_command_line_one_result(tdmm, corpus, made_once):
    arguments = ("evaluate", "animate", made_once, "-r", corpus, "--split", "test", *ANIMATE, "--json")
    first = tdmm(*arguments).stdout
    assert tdmm(*arguments).stdout == first
    assert tdmm(*arguments, "--seed", 1).stdout != first


# -- describe ------------------------------------------------------------------------------------------


def test_describe_prints_a_table_with_the_signature(tdmm, corpus, captions):
    outcome = tdmm("evaluate", "describe", captions, "-r", corpus, "--repeats", 2)
    assert (outcome.code, outcome.stderr) == (0, "")
    lines = outcome.text.splitlines()
    assert lines[-1].startswith("describe|protocol:1|tdmm:")
    named = {line.partition("  ")[0].rstrip(" +-") for line in lines}
    assert {"BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr", "hallucination", "accuracy", "R-Precision top-1"} <= named


def test_describe_reads_standard_input(tdmm, corpus, captions):
    arguments = ("-r", corpus, "--repeats", 2, "--json")
    piped = tdmm("evaluate", "describe", "-", *arguments, stdin=captions.read_bytes())
    assert piped.code == 0
    assert piped.stdout == tdmm("evaluate", "describe", captions, *arguments).stdout
    assert piped.json["scores"]["overlap/BLEU-4"]["prediction"]["mean"] == pytest.approx(100)


def test_describe_lists_failures(tdmm, corpus, captions, ids):
    lines = [json.loads(line) for line in captions.read_text().splitlines()]
    write_lines(captions, [{**lines[1], "text": ""}, *lines[2:]])
    outcome = tdmm("evaluate", "describe", captions, "-r", corpus, "--repeats", 2, "--json")
    assert outcome.code == 1
    assert outcome.json["failures"] == [
        {"id": ids[0], "reason": "there is no prediction"},
        {"id": ids[1], "reason": "the text is empty"},
    ]
    assert outcome.stderr.splitlines()[-1] == f"error: 2 of {CLIPS} predictions failed, and count as such"


def test_a_judge_behind_an_endpoint(tdmm, corpus, captions, monkeypatch):
    import tdmm.evaluate.judge as judging

    asked = []

    def answer(self, prompt):
        asked.append((self.base_url, self.model, self.key))
        return '{"CorE": 5, "CorM": 4, "CorI": 2}'

    monkeypatch.setattr(judging.Endpoint, "__call__", answer)
    monkeypatch.setenv("TDMM_JUDGE_KEY", "abc")
    where = ("--judge", "http://localhost:1/v1", "--judge-model", "m", "--repeats", 2, "--json")
    outcome = tdmm("evaluate", "describe", captions, "-r", corpus, *where)
    assert outcome.json["scores"]["judge/CorI"]["prediction"]["mean"] == 2
    assert set(asked) == {("http://localhost:1/v1", "m", "abc")}
    assert "abc" not in outcome.text + outcome.stderr


# -- reconstruction, fit -------------------------------------------------------------------------------


@pytest.fixture
def few(predictions, ids) -> Path:
    """A folder of three motions."""
    for name in ids[3:]:
        (predictions / f"{name}.npz").unlink()
    return predictions


def test_reconstruction(tdmm, few, tmp_path, ids):
    tokens = write_lines(tmp_path / "tokens.jsonl", [{"id": name, "codes": [[1], [2]]} for name in ids[:3]])
    outcome = tdmm("evaluate", "reconstruction", few, "-r", few, "--tokens", tokens, "--codebook", 4)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.text.splitlines()[-1].startswith("reconstruction|protocol:1|")
    assert "of 4, 6 tokens" in outcome.text
    found = tdmm("evaluate", "reconstruction", few, "-r", few, "--json").json
    assert found["scores"]["vertices/face mean"]["prediction"] == {
        "mean": 0.0,
        "ci95": None,
        "repeats": 1,
        "unit": "mm",
    }


def test_reconstruction_lists_failures(tdmm, few, tmp_path, ids):
    references = shutil.copytree(few, tmp_path / "r")
    (few / f"{ids[1]}.npz").unlink()
    outcome = tdmm("evaluate", "reconstruction", few, "-r", references)
    assert outcome.code == 1
    assert outcome.stderr.splitlines()[0] == f"error: {ids[1]}: there is no prediction"


def test_fit_with_and_without_truth(tdmm, few):
    outcome = tdmm("evaluate", "fit", few, "--reference", few)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "vertices that move" in outcome.text
    assert outcome.text.splitlines()[-1].startswith("fit|protocol:1|")
    alone = tdmm("evaluate", "fit", few, "--json")
    assert alone.code == 0
    assert {name.partition("/")[0] for name in alone.json["scores"]} == {"without truth"}


def test_fit_lists_failures(tdmm, few, ids):
    motion = read_motion(few / f"{ids[0]}.npz")
    write_motion(replace(motion, face_model_sha256="1" * 64, face_model="ict"), few / f"{ids[0]}.npz")
    outcome = tdmm("evaluate", "fit", few)
    assert outcome.code == 1
    assert outcome.stderr.splitlines()[-1] == "error: 1 of 3 predictions failed, and count as such"


# -- evaluator -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slight_and_strong(tmp_path_factory) -> Path:
    """Enough clips that say how strong all is, which side, and what comes first."""
    folder = tmp_path_factory.mktemp("evaluator") / "corpus"
    programs = [
        f"{action}@{level} > {head}.{side}@{level}"
        for action in ("smile", "frown", "pucker", "grin")
        for level in ("slight", "strong")
        for head in ("turn", "tilt")
        for side in ("left", "right")
    ]
    (folder.parent / "prompts.txt").write_text("\n".join(programs) + "\n")
    arguments = ["generate-corpus", str(folder.parent / "prompts.txt"), "-o", str(folder), "--motions-only", "-q"]
    assert run([*arguments, "--seeds", "2", "--workers", "1"]) == 0
    return folder


def test_evaluator_asks_whether_it_can_be_trusted(tdmm, slight_and_strong):
    outcome = tdmm("evaluate", "evaluator", slight_and_strong, "--json")
    assert outcome.code == 0, outcome.stderr
    found = outcome.json
    assert found["signature"].startswith(f"evaluator|protocol:1|tdmm:0.1.0|evaluator:{load_evaluator().fingerprint}|")
    assert set(found["monotone"]) == {
        *("noise", "reversed", "shuffled", "mirrored", "weaker", "stronger", "frozen", "other")
    }
    assert found["scores"]["real pairs/r precision top1"]["prediction"]["repeats"] == 20
    whole = found["scores"]["frozen/MM-Dist, severity 1"]
    assert whole["prediction"]["mean"] > found["scores"]["frozen/MM-Dist, severity 0"]["prediction"]["mean"]
    assert "the real one is nearer to" in whole["note"]


def test_evaluator_of_too_few_clips_says_how_many_it_needs(tdmm, corpus):
    outcome = tdmm("evaluate", "evaluator", corpus, "--split", "val")
    assert outcome.code == 1
    assert "needs pools of 32 pairs, and there are 24" in outcome.error_line


# -- wrong inputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["animate", "{p}"], 2, "Missing option '--reference' / '-r' (see tdmm evaluate animate --help)"),
        (["animate", "{p}", "-r", "nowhere"], 1, "nowhere: there is no such corpus"),
        (["animate", "nowhere", "-r", "{c}"], 1, "nowhere: expected a folder of motions or a corpus"),
        (["animate", "{empty}", "-r", "{c}"], 1, "holds no motions (.npz)"),
        (["animate", "{p}", "-r", "{empty}"], 1, "has no references"),
        (["animate", "{p}", "-r", "{c}", "--split", "tset"], 1, "of the split tset; there are test, val"),
        (["animate", "{p}", "-r", "{c}", "--split", "test,tset"], 1, "of the split tset"),
        (["animate", "{p}", "-r", "{c}", "--evaluator", "nowhere"], 1, "nowhere: is no evaluator"),
        (["animate", "{p}", "-r", "{c}", "--repeats", "0"], 2, "--repeats 0: expected a positive number"),
        (["animate", "{p}", "-r", "{c}", "--seed", "-1"], 2, "--seed -1: expected a number from 0 on"),
        (["animate", "{p}", "-r", "{c}", "--workers", "many"], 2, "--workers many: expected auto"),
        (["animate", "{p}", "-r", "{c}", "--plot", "x.pdf"], 2, "--plot x.pdf: expected a name that ends in .png"),
        (["animate", "{p}", "-r", "{c}", "--plot", "nowhere/x.png"], 1, "there is no folder nowhere"),
        (["describe", "nowhere.jsonl", "-r", "{c}"], 1, "nowhere.jsonl: No such file"),
        (["describe", "{p}", "-r", "{c}"], 1, "Is a directory"),
        (["describe", "{text}", "-r", "{c}"], 1, "line 1: expected a JSON object, found 'She smiles.'"),
        (["describe", "{bytes}", "-r", "{c}"], 1, "expected JSON lines, found bytes that are no text"),
        (["describe", "{other}", "-r", "{c}"], 1, "no prediction is of a reference: do the ids match?"),
        (["describe", "{other}", "-r", "{c}", "--judge-model", "x"], 2, "--judge-model needs --judge URL"),
        (["describe", "{other}", "-r", "{c}", "--judge", "http://x/v1"], 2, "needs the name of a model"),
        (["describe", "{other}", "-r", "{c}", "--judge", "m", "--judge-model", "x"], 2, "a path is the model itself"),
        (["reconstruction", "{p}", "-r", "{c}", "--codebook", "5"], 2, "needs --tokens TOKENS.jsonl"),
        (["reconstruction", "{p}", "-r", "{c}", "--tokens", "t", "--codebook", "0"], 2, "expected a positive number"),
        (["reconstruction", "{p}", "-r", "{c}", "--face-model", "nowhere"], 1, "nowhere"),
        (["fit", "{p}", "--split", "test"], 2, "--split chooses among references: it needs --reference CORPUS"),
        (["fit", "nowhere"], 1, "nowhere: expected a folder of motions or a corpus"),
        (["evaluator", "nowhere"], 1, "nowhere: is no corpus"),
        (["evaluator", "{c}", "--split", "tset"], 1, "no clip of the split tset"),
        (["evaluator", "{c}", "--split", "test,tset"], 1, "no clip of the split tset"),
        (["evaluator", "{c}", "--seed", "-1"], 2, "--seed -1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_inputs_are_told_in_one_line(tdmm, corpus, made_once, tmp_path, monkeypatch, arguments, code, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("She smiles.\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    write_lines(tmp_path / "other", [{"id": "stranger", "text": "smiles"}])
    named = {name: tmp_path / name for name in ("empty", "text", "bytes", "other")}
    given = [one.format(c=corpus, p=made_once, **named) for one in arguments]
    outcome = tdmm("evaluate", *given)
    assert outcome.code == code, outcome.stderr
    assert expected in outcome.error_line
    assert outcome.text == ""
    assert "fault in tdmm" not in outcome.stderr


def test_predictions_from_a_terminal_are_refused(tdmm, corpus):
    outcome = tdmm("evaluate", "describe", "-", "-r", corpus, terminal=("stdin",))
    assert outcome.code == 2
    assert "standard input, and that is a terminal" in outcome.error_line


def test_without_matplotlib_a_plot_is_refused_before_the_work(tdmm, corpus, made_once, monkeypatch, tmp_path):
    import tdmm.evaluate.tasks.animate as animate

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(animate, "evaluate_animate", lambda *_, **__: pytest.fail("it has begun"))
    outcome = tdmm("evaluate", "animate", made_once, "-r", corpus, "--plot", tmp_path / "x.png")
    assert outcome.code == 1
    assert "pip install 'tdmm[report]'" in outcome.error_line
