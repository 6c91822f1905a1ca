"""Naming generators, and those that run pipelines of diffusers: tiny random ones, each loaded from its folder."""

from __future__ import annotations

import inspect
import json
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import tiny_pipelines
import torch

from tdmm.corpus.generators import families
from tdmm.corpus.generators.base import parse_generator
from tdmm.corpus.generators.diffusers_pipeline import DiffusersGenerator, DiffusersOptions
from tdmm.errors import CorpusError, MissingPartError, OutputError
from tdmm.io.video_reader import open_video

PROMPT = "a woman smiles then nods twice"
# What each tiny pipeline is good for: its builder, its family, the options that fit.
TINY = {
    "wan": (tiny_pipelines.save_wan, "Wan 2.1", {"size": (16, 32), "frames": 5}),
    "ltx": (tiny_pipelines.save_ltx, "LTX-Video", {"size": (32, 64), "frames": 9}),
    "cogvideox": (tiny_pipelines.save_cogvideox, "CogVideoX 2B", {"size": (16, 16), "frames": 9}),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folder of each tiny pipeline."""
    base = tmp_path_factory.mktemp("pipelines")
    return {name: save(base / name) for name, (save, _, _) in TINY.items()}


@pytest.fixture
def wan(folders):
    return DiffusersGenerator(str(folders["wan"]), DiffusersOptions(steps=2, **TINY["wan"][2]))


def pictures(path: Path) -> np.ndarray:
    """(T, H, W, 3) uint8."""
    with open_video(path) as video:
        return np.stack([frame.image for frame in video])


# -- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "parsed"),
    [
        ("procedural", ("procedural", "", 1)),
        ("procedural=0.3", ("procedural", "", 0.3)),
        ("diffusers:Wan-AI/Wan2.1-T2V-1.3B-Diffusers", ("diffusers", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", 1)),
        ("diffusers:models/wan=2", ("diffusers", "models/wan", 2)),
        ("diffusers:models/lr=3/", ("diffusers", "models/lr=3/", 1)),
        ("diffusers:models/a=b", ("diffusers", "models/a=b", 1)),
        ("diffusers:C:/wan=.5", ("diffusers", "C:/wan", 0.5)),
        ("command:t2v {prompt} {output}", ("command", "t2v {prompt} {output}", 1)),
        ("command:t2v {prompt} {output}=0.3", ("command", "t2v {prompt} {output}", 0.3)),
        ("command:t2v {prompt} {output} --steps=30", ("command", "t2v {prompt} {output} --steps=30", 1)),
        ("command:t2v {prompt} {output} --steps=30 =2", ("command", "t2v {prompt} {output} --steps=30", 2)),
        ("command:'t2v {prompt} {output}'=2", ("command", "t2v {prompt} {output}", 2)),
        ("command:'my t2v' '{prompt}' {output}", ("command", "'my t2v' '{prompt}' {output}", 1)),
    ],
)
def test_a_generator_is_named_with_an_optional_weight(spec, parsed):
    assert parse_generator(spec) == parsed


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("sora:x", "expected procedural, diffusers:MODEL or command:TEMPLATE"),
        ("", "expected procedural"),
        ("procedural:x", "nothing else"),
        ("procedural=x", "expected procedural"),
        ("diffusers", "after the colon"),
        ("diffusers:=2", "after the colon"),
        ("command:", "after the colon"),
        ("procedural=0", "above 0"),
        ("diffusers:models/wan=-1", "above 0"),
    ],
)
def test_what_is_no_generator_is_refused(spec, words):
    with pytest.raises(CorpusError, match=words):
        parse_generator(spec)


# -- making videos ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TINY)
def test_a_pipeline_makes_the_video_that_is_asked_for(name, folders, tmp_path):
    _, family, options = TINY[name]
    generator = DiffusersGenerator(str(folders[name]), DiffusersOptions(steps=2, fps=12, **options))
    generator.load()
    made = generator.make(PROMPT, 3, tmp_path / "clip.mp4", id="clip")
    height, width = options["size"]
    assert made == {"fps": 12, "frames": options["frames"], "width": width, "height": height}
    with open_video(tmp_path / "clip.mp4") as video:
        assert (video.info.fps, video.info.width, video.info.height) == (12, width, height)
        assert sum(1 for _ in video) == options["frames"]
    facts = generator.facts()
    assert facts["family"] == family
    assert facts["settings"]["frames"] == options["frames"]
    assert facts["settings"]["steps"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_the_seed_makes_the_video(wan, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        wan.make(PROMPT, seed, tmp_path / f"{name}.mp4")
    a, b, c = (pictures(tmp_path / f"{name}.mp4") for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_a_copy_for_another_process_makes_the_same(wan, tmp_path):
    wan.make(PROMPT, 1, tmp_path / "a.mp4")
    other = pickle.loads(pickle.dumps(wan))
    assert len(pickle.dumps(wan)) < 10_000  # without the weights
    other.make(PROMPT, 1, tmp_path / "b.mp4")
    np.testing.assert_array_equal(pictures(tmp_path / "a.mp4"), pictures(tmp_path / "b.mp4"))


def test_half_precision_leaves_the_decoder_precise(folders, tmp_path, monkeypatch):
    loaded = []
    load = diffusers.DiffusionPipeline.from_pretrained

    def remember(*arguments: Any, **options: Any) -> Any:
        loaded.append(load(*arguments, **options))
        return loaded[-1]

    monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", remember)
    options = DiffusersOptions(steps=2, dtype="bfloat16", **TINY["wan"][2])
    DiffusersGenerator(str(folders["wan"]), options).make(PROMPT, 1, tmp_path / "a.mp4")
    assert loaded[0].transformer.dtype == torch.bfloat16
    assert loaded[0].vae.dtype == torch.float32


def test_the_libraries_say_nothing_and_talk_afterwards_as_before(wan, tmp_path, capfd):
    before = diffusers.utils.logging.get_verbosity(), diffusers.utils.logging.is_progress_bar_enabled()
    wan.make(PROMPT, 1, tmp_path / "a.mp4")
    assert capfd.readouterr() == ("", "")
    assert (diffusers.utils.logging.get_verbosity(), diffusers.utils.logging.is_progress_bar_enabled()) == before


def test_nothing_is_left_where_the_file_cannot_be_written(wan, tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        wan.make(PROMPT, 1, tmp_path / "none" / "a.mp4")


# -- families --------------------------------------------------------------------------------------------


def write(folder: Path, files: dict[str, dict[str, Any]]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder


def files_of(family: families.Family, pipeline: str) -> dict[str, dict[str, Any]]:
    """The JSON files by which a family is known."""
    files: dict[str, dict[str, Any]] = {families.INDEX: {"_class_name": pipeline}}
    if family.mark is not None:
        files.setdefault(family.mark.file, {})[family.mark.field] = 2
    return files


EVERY = [(family, pipeline) for family in families.FAMILIES for pipeline in family.classes]


class Recorder:
    """Stands in for a pipeline: takes what the real class takes, remembers it, and fails if told to."""

    def __init__(self, pipeline: str, error: Exception | None = None, value: float = 0.5) -> None:
        self.signature = inspect.signature(getattr(diffusers, pipeline).__call__)
        self.error, self.value = error, value
        self.done: list[str] = []
        self.arguments: dict[str, Any] = {}
        self.vae = SimpleNamespace(enable_tiling=lambda: self.done.append("tiling"))

    def __call__(self, **arguments: Any) -> Any:
        self.signature.bind(self, **arguments)
        self.arguments = arguments
        if self.error is not None:
            raise self.error
        shape = (1, arguments["num_frames"], arguments["height"], arguments["width"], 3)
        return SimpleNamespace(frames=np.full(shape, self.value, np.float32))

    def set_progress_bar_config(self, **_: Any) -> None: ...

    def to(self, device: str) -> None:
        self.done.append(f"to {device}")

    def enable_model_cpu_offload(self, device: str) -> None:
        self.done.append(f"model {device}")

    def enable_sequential_cpu_offload(self, device: str) -> None:
        self.done.append(f"sequential {device}")


@pytest.fixture
def recorded(monkeypatch):
    """Makes `DiffusionPipeline.from_pretrained` hand out the recorder, which is returned with the options it got."""

    def install(recorder: Recorder) -> dict[str, Any]:
        got: dict[str, Any] = {}

        def load(model: str, **options: Any) -> Recorder:
            got.update(options)
            return recorder

        monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", load)
        return got

    return install


@pytest.mark.parametrize(("family", "pipeline"), EVERY, ids=[f"{f.name}-{p}" for f, p in EVERY])
def test_every_family_is_recognised_and_calls_its_pipeline_rightly(family, pipeline, tmp_path, recorded):
    folder = write(tmp_path / "model", files_of(family, pipeline))
    recorder = Recorder(pipeline)
    got = recorded(recorder)
    # The defaults fit the rules of the family; the small size keeps the test quick.
    assert DiffusersGenerator(str(folder)).facts()["settings"]["height"] == family.size[0]
    small = DiffusersOptions(size=(family.size_step, family.size_step), frames=family.frame_step + 1)
    generator = DiffusersGenerator(str(folder), small, device="cuda")
    assert generator.family == family
    made = generator.make(PROMPT, 7, tmp_path / "a.mp4")
    assert made["fps"] == family.fps
    assert made["frames"] == family.frame_step + 1
    assert recorder.arguments["generator"].initial_seed() == 7
    assert recorder.arguments["num_inference_steps"] == family.steps
    assert recorder.arguments.get("guidance_scale") == family.guidance
    assert recorder.arguments.get("negative_prompt") == family.negative
    assert recorder.done == ["tiling"] * family.tiling + ["model cuda"]
    assert got["torch_dtype"]["default"] == getattr(torch, family.dtype)
    assert got["use_safetensors"] is True
    assert got["local_files_only"] is True


def test_licences_that_forbid_or_limit_training_are_told():
    warned = {family.name for family in families.FAMILIES if family.warning}
    assert {"HunyuanVideo", "HunyuanVideo 1.5", "LTX-Video", "CogVideoX 5B", "CogVideoX 1.5"} == warned
    assert all((family.licence == "Apache-2.0") == (not family.warning) for family in families.FAMILIES)
    assert "improve any other AI model" in next(f.warning for f in families.FAMILIES if f.name == "HunyuanVideo")


@pytest.mark.parametrize(
    ("device", "offload", "done"),
    [("cpu", None, "to cpu"), ("cuda:1", "none", "to cuda:1"), ("cuda", "sequential", "sequential cuda")],
)
def test_what_leaves_the_gpu_is_chosen(device, offload, done, tmp_path, recorded):
    recorder = Recorder("WanPipeline")
    recorded(recorder)
    folder = write(tmp_path / "model", {families.INDEX: {"_class_name": "WanPipeline"}})
    DiffusersGenerator(str(folder), DiffusersOptions(offload=offload), device=device).load()
    assert recorder.done == [done]


def test_one_guidance_is_for_both_halves_of_a_model(tmp_path, recorded):
    recorder = Recorder("WanPipeline")
    recorded(recorder)
    folder = write(tmp_path / "model", {families.INDEX: {"_class_name": "WanPipeline", "boundary_ratio": 0.875}})
    options = DiffusersOptions(size=(16, 16), frames=5, guidance=2.5)
    DiffusersGenerator(str(folder), options).make(PROMPT, 0, tmp_path / "a.mp4")
    assert recorder.arguments["guidance_scale"] == recorder.arguments["guidance_scale_2"] == 2.5


# -- what goes wrong -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frames": 80}, "makes 4 k \\+ 1 frames, such as 77 or 81"),
        ({"frames": 1}, "such as 5 or 9"),
        ({"size": (480, 500)}, "multiples of 16, as 480x496"),
        ({"size": (0, 16)}, "multiples of 16"),
    ],
)
def test_settings_that_the_family_cannot_make_are_refused_before_loading(options, words, folders):
    generator = DiffusersGenerator(str(folders["wan"]), DiffusersOptions(**options))
    with pytest.raises(CorpusError, match=words):
        generator.facts()
    with pytest.raises(CorpusError, match=words):
        generator.load()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "int8"}, "dtype: expected one of bfloat16, float16, float32"),
        ({"offload": "disk"}, "offload: expected one of none, model, sequential"),
        ({"steps": 0}, "steps: expected a positive number"),
        ({"fps": float("nan")}, "fps: expected a positive number"),
        ({"guidance": -1}, "guidance: expected a number from 0 on"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(CorpusError, match=words):
        DiffusersOptions(**options)


def test_offload_needs_a_gpu():
    with pytest.raises(CorpusError, match="off a GPU"):
        DiffusersGenerator("models/wan", DiffusersOptions(offload="model"), device="cpu")


def test_guidance_where_the_pipeline_takes_none_is_refused(tmp_path):
    folder = write(tmp_path / "model", {families.INDEX: {"_class_name": "HunyuanVideo15Pipeline"}})
    with pytest.raises(CorpusError, match=r"HunyuanVideo 1\.5 takes none"):
        DiffusersGenerator(str(folder), DiffusersOptions(guidance=3)).facts()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config.json": {}}, "is no pipeline: no model_index.json"),
        (
            {families.INDEX: {"_class_name": "FluxPipeline"}},
            "the pipeline FluxPipeline is none of Wan 2.2 TI2V, .*Mochi",
        ),
        ({families.INDEX: {"_class_name": ["code", "MyPipeline"]}}, "is none of"),
        ({families.INDEX: {}}, "the pipeline None is none of"),
        ({families.INDEX: []}, "expected a JSON object, found list"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(files, words, tmp_path):
    folder = write(tmp_path / "model", files)
    with pytest.raises(CorpusError, match=words):
        DiffusersGenerator(str(folder)).load()


def test_a_folder_with_parts_missing_is_refused(tmp_path):
    folder = write(tmp_path / "model", {families.INDEX: {"_class_name": "WanPipeline", "vae": ["diffusers", "X"]}})
    with pytest.raises(CorpusError, match=r"model: cannot be loaded: \S") as caught:
        DiffusersGenerator(str(folder)).load()
    assert "\n" not in str(caught.value)


def test_a_pipeline_that_this_diffusers_lacks_is_told(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", SimpleNamespace(__version__="0.31.0"))
    with pytest.raises(CorpusError, match=r"WanPipeline is not in diffusers 0\.31\.0 as .* `pip install --upg"):
        DiffusersGenerator(str(folders["wan"])).load()


@pytest.mark.parametrize("model", ["./nowhere", "a/b/c", "nowhere"])
def test_a_path_where_nothing_is_asks_no_hub(model, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match="there is no such folder"):
        DiffusersGenerator(model).load()


def test_a_file_is_no_pipeline(tmp_path):
    (tmp_path / "wan.safetensors").touch()
    with pytest.raises(CorpusError, match="found a file"):
        DiffusersGenerator(str(tmp_path / "wan.safetensors")).load()


def test_what_the_hub_lacks_is_told_apart(monkeypatch, tmp_path):
    import huggingface_hub
    from huggingface_hub import errors

    class Gone(errors.RepositoryNotFoundError):
        def __init__(self) -> None:
            Exception.__init__(self, "404\nNot found")

    class NoFile(errors.EntryNotFoundError):
        def __init__(self) -> None:
            Exception.__init__(self, "404")

    def answers(what: Exception | Path) -> None:
        def fetch(model: str, name: str) -> str:
            if isinstance(what, Exception):
                raise what
            if not (what / name).exists():
                raise NoFile
            return str(what / name)

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)

    for answer, words in (
        (Gone(), "there is no such folder, and the hub has no such model"),
        (errors.LocalEntryNotFoundError("offline"), "the hub cannot be reached"),
        (NoFile(), "is no pipeline: no model_index.json"),
        (OSError("disk full\nreally"), "cannot be fetched from the hub: disk full"),
    ):
        answers(answer)
        with pytest.raises(CorpusError, match=words) as caught:
            DiffusersGenerator("someone/some-model").facts()
        assert "\n" not in str(caught.value)
    answers(write(tmp_path, {families.INDEX: {"_class_name": "MochiPipeline"}}))
    assert DiffusersGenerator("someone/some-model").facts()["family"] == "Mochi 1"


@pytest.mark.parametrize("library", ["diffusers", "transformers"])
def test_without_the_libraries_the_line_that_installs_them_is_told(library, folders, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    generator = DiffusersGenerator(str(folders["wan"]), DiffusersOptions(**TINY["wan"][2]))
    assert generator.facts()["family"] == "Wan 2.1"  # a folder's facts need no library
    with pytest.raises(MissingPartError, match=r"pip install 'tdmm\[t2v\]'"):
        generator.load()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory.\nmany numbers"), "ran out of memory; try the offload seq"),
        (RuntimeError("the tensor a (3)\nmust match"), "p7: .* failed: the tensor a \\(3\\)$"),
        (ValueError(""), "failed: ValueError"),
    ],
)
def test_a_prompt_that_fails_is_told_in_one_line(error, words, tmp_path, recorded):
    recorded(Recorder("WanPipeline", error))
    folder = write(tmp_path / "model", {families.INDEX: {"_class_name": "WanPipeline"}})
    generator = DiffusersGenerator(str(folder), DiffusersOptions(size=(16, 16), frames=5), device="cuda")
    with pytest.raises(CorpusError, match=words) as caught:
        generator.make(PROMPT, 1, tmp_path / "p7.mp4")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "p7.mp4").exists()


def test_a_black_video_of_nan_is_refused(tmp_path, recorded):
    recorded(Recorder("WanPipeline", value=float("nan")))
    folder = write(tmp_path / "model", {families.INDEX: {"_class_name": "WanPipeline"}})
    generator = DiffusersGenerator(str(folder), DiffusersOptions(size=(16, 16), frames=5, dtype="float16"))
    with pytest.raises(CorpusError, match="NaN; choose another dtype than float16"):
        generator.make(PROMPT, 1, tmp_path / "a.mp4")
    assert not (tmp_path / "a.mp4").exists()
