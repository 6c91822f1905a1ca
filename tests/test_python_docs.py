"""docs/python.md is run as it stands; its links lead somewhere."""

import re
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / "docs"


def test_the_python_page_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / "python.md").read_text(), re.M | re.S)
    assert len(blocks) >= 9
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "docs.python"}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"docs/python.md, block {number}", "exec"), names)
    assert (tmp_path / "overlay.mp4").stat().st_size > 1000
    # The rendered head was found again: a smile and a nod in every frame.
    fitted, motion = names["fitted"], names["motion"]
    assert fitted.valid.all()
    assert len(fitted) == len(motion)
    assert names["report"]["reprojection_percent"] < 5
    nod = fitted.rotation[:, 0] - fitted.rotation[:, 0].mean()
    assert (nod * motion.rotation[:, 0]).sum() > 0
    assert names["slow"].fps == 12.5
    assert names["peak"] > 0.99
    assert names["frame"].shape == (256, 256, 3)
    assert names["landmarks"].shape == (1, 478, 3)
    assert [failure.item for failure in names["outcome"].failures] == ["missing.mp4"]
    assert "missing.mp4" in capsys.readouterr().out
    assert names["tokens"].codes.shape == (13, 6)
    assert names["decoded"].expression_column("mouthSmileLeft").max() > 0.7
    assert [len(one) for one in names["kept"]] == [50, 50]
    assert np.abs(names["live"].expression - names["decoded"].expression).max() < 1e-4
    assert (len(names["nodding"]), len(names["talking"]), names["nodding"].text) == (75, 50, "smiles, then nods")
    assert [len(motion) for motion in names["variants"][0]] == [25, 25]
    assert all((names["told"], names["timeline"], *names["answers"]))
    assert isinstance(names["events"], list)
    assert names["codes"].shape == (4, 6)
    assert (names["coded"].motions, names["coded"].failures) == (40, ())
    assert names["made"].clips == 40
    assert names["scores"].score("R-Precision top-1", "embedding").mean > 0.9
    assert names["shown"] == 1
    assert str(names["read"]) == "!blink : nod*2"
    assert names["message"].startswith("smile.mp4: expected a motion file")


@pytest.mark.parametrize("page", ["conventions.md", "face-models.md", "language.md", "python.md", "tokens.md"])
def test_links_between_pages_lead_somewhere(page):
    text = (DOCS / page).read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            found = DOCS / (file or page)
            assert found.exists(), target
            if anchor:
                heads = re.findall(r"^#+ (.*)$", found.read_text(), re.M)
                assert anchor in [head.lower().replace(" ", "-").replace("`", "") for head in heads], target


def test_the_conventions_name_every_key_of_a_motion_file():
    import io

    from tdmm.io.motion_file import motion_bytes
    from tdmm.motion import make_motion

    told = {"expression_confidence": np.ones((1, 1), np.float32)}
    motion = make_motion(np.zeros((1, 1)), ["a"], face_model="m", face_model_sha256="s", **told)
    text = (DOCS / "conventions.md").read_text()
    rows = dict(re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", text, re.M))
    documented = {name: kind for names, kind in rows.items() for name in re.findall(r"`(\w+)`", names)}
    with np.load(io.BytesIO(motion_bytes(motion))) as arrays:
        for key in arrays.files:
            kind = "text" if arrays[key].dtype.kind == "U" else str(arrays[key].dtype)
            assert kind in documented[key], key
        assert set(documented) == set(arrays.files)
