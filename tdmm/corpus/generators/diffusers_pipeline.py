"""Videos of text-to-video models, through their pipelines in diffusers: a folder here or a name on the hub."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tdmm.corpus.generators.base import Facts, Made
from tdmm.corpus.generators.families import INDEX, TRANSFORMER, VAE, Family, has, known, recognise
from tdmm.errors import CorpusError, MissingPartError, TdmmError
from tdmm.io.video_writer import write_video

DTYPES = ("bfloat16", "float16", "float32")
OFFLOADS = ("none", "model", "sequential")
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_MOST_TOLD = 300  # characters of a library's error message


@dataclass(frozen=True)
class DiffusersOptions:
    """What is asked of a model; None leaves what its family was made for (`Family`).

    size: (H, W) pixels. frames: of a video. fps: at which it is played (a model makes its own pace of movement).
    dtype: one of `DTYPES`; on the CPU float32 if it is not given. offload: one of `OFFLOADS`: what leaves the GPU while
    it is not needed; `model` fits where the largest part does, `sequential` nearly anywhere, at a tenth of the speed.
    """

    size: tuple[int, int] | None = None
    frames: int | None = None
    fps: float | None = None
    steps: int | None = None
    guidance: float | None = None
    dtype: str | None = None
    offload: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("frames", self.frames), ("steps", self.steps), ("fps", self.fps)):
            if value is not None and not 0 < value < float("inf"):
                raise CorpusError(f"{name}: expected a positive number, found {value}")
        if self.guidance is not None and not 0 <= self.guidance < float("inf"):
            raise CorpusError(f"guidance: expected a number from 0 on, found {self.guidance}")
        for name, choice, among in (("dtype", self.dtype, DTYPES), ("offload", self.offload, OFFLOADS)):
            if choice is not None and choice not in among:
                raise CorpusError(f"{name}: expected one of {', '.join(among)}, found {choice!r}")


class DiffusersGenerator:
    """Makes videos with one text-to-video model.

    model: a folder with `model_index.json`, read without any network, or a name on the hub of Hugging Face, such as
    Wan-AI/Wan2.1-T2V-1.3B-Diffusers, which is fetched. device: `cpu`, `cuda`, `cuda:1`.

    The same seed gives the same video on the same machine and versions: the noise is drawn on the CPU, whatever the
    device is. Weights are read from safetensors only, and no code that lies beside them is run.
    """

    name = "diffusers"

    def __init__(self, model: str, options: DiffusersOptions | None = None, *, device: str = "cpu") -> None:
        self.model = model
        self._options = options or DiffusersOptions()
        self._device = device
        self._files: dict[str, Mapping[str, Any]] | None = None
        self._pipeline: Any = None
        if self._options.offload not in (None, "none") and device == "cpu":
            raise CorpusError(f"offload {self._options.offload}: moves parts off a GPU, and the device is the CPU")

    def on_device(self, device: str) -> DiffusersGenerator:
        """The same model on another device: every process takes a GPU of its own."""
        return DiffusersGenerator(self.model, self._options, device=device)

    @property
    def device(self) -> str:
        """Where it computes."""
        return self._device

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pipeline": None}  # every process loads its own

    @property
    def family(self) -> Family:
        """What kind of model it is, by its `model_index.json`; the first call may ask the hub. Raises `CorpusError`."""
        if self._files is None:
            self._files = _local_files(self.model) if _is_local(self.model) else _hub_files(self.model)
        family = recognise(self._files)
        if family is None:
            pipeline = self._files[INDEX].get("_class_name")
            raise CorpusError(f"{self.model}: the pipeline {pipeline} is none of {known()}")
        return family

    def facts(self) -> Facts:
        """The settings are those that a video is made with. Raises `CorpusError`, `MissingPartError` (hub only)."""
        family, (height, width) = self.family, self._size()
        settings: dict[str, Any] = {
            "height": height,
            "width": width,
            "frames": self._frames(),
            "fps": self._options.fps or family.fps,
            "steps": self._options.steps or family.steps,
            "dtype": self._dtype(),
        }
        if family.guidance is not None:
            settings["guidance"] = self._guidance()
        settings.update(self._more())
        if family.negative:
            settings["negative_prompt"] = family.negative
        return Facts(
            model=self.model, family=family.name, settings=settings, licence=family.licence, warning=family.warning
        )

    def load(self) -> None:
        """Read the weights, once. Raises `CorpusError`, `MissingPartError`."""
        if self._pipeline is not None:
            return
        family = self.family
        self.facts()  # wrong settings are found before gigabytes are read
        diffusers, torch = _import_diffusers()
        try:
            getattr(diffusers, self._class_name())
        except (AttributeError, RuntimeError) as error:  # unknown; or it needs a newer transformers
            raise CorpusError(
                f"{self.model}: {self._class_name()} is not in diffusers {diffusers.__version__} as it is installed; "
                "run `pip install --upgrade 'tdmm[t2v]'`"
            ) from error
        dtype = getattr(torch, self._dtype())
        kinds = {"default": dtype, "vae": torch.float32 if family.precise_vae else dtype}
        try:
            with _quiet(diffusers):
                pipeline = diffusers.DiffusionPipeline.from_pretrained(
                    self.model, torch_dtype=kinds, use_safetensors=True, local_files_only=_is_local(self.model)
                )
                pipeline.set_progress_bar_config(disable=True)
                if family.tiling:
                    pipeline.vae.enable_tiling()
                offload = "none" if self._device == "cpu" else self._options.offload or family.offload
                if offload == "model":
                    pipeline.enable_model_cpu_offload(device=self._device)
                elif offload == "sequential":
                    pipeline.enable_sequential_cpu_offload(device=self._device)
                else:
                    pipeline.to(self._device)
        except Exception as error:
            if _is_out_of_memory(error):
                raise CorpusError(f"{self.model}: out of memory while loading; {self._smaller()}") from error
            raise CorpusError(f"{self.model}: cannot be loaded: {_first_line(error)}") from error
        self._pipeline = pipeline

    def make(self, prompt: str, seed: int, target: Path, *, id: str = "") -> Made:
        """Write the video of a prompt at `target`. id: names the clip in error messages.

        Raises `CorpusError` where the model fails on this prompt, `OutputError` where the file cannot be written.
        """
        self.load()
        family, (height, width) = self.family, self._size()
        fps = self._options.fps or family.fps
        arguments: dict[str, Any] = {
            "prompt": prompt,
            "height": height,
            "width": width,
            "num_frames": self._frames(),
            "num_inference_steps": self._options.steps or family.steps,
            **self._more(),
        }
        if family.negative:
            arguments["negative_prompt"] = family.negative
        if family.guidance is not None:
            arguments["guidance_scale"] = self._guidance()
        if family.rate_argument:
            arguments[family.rate_argument] = fps
        where = id or target.stem
        try:
            frames = self._frames_of(arguments, seed)
        except TdmmError:
            raise
        except Exception as error:
            if _is_out_of_memory(error):
                _free_memory()
                raise CorpusError(f"{where}: {self.model} ran out of memory; {self._smaller()}") from error
            raise CorpusError(f"{where}: {self.model} failed: {_first_line(error)}") from error
        if not np.isfinite(frames).all():
            raise CorpusError(
                f"{where}: {self.model} made no picture but NaN; choose another dtype than {self._dtype()}"
            )
        pictures = np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8)
        count = write_video(pictures, target, fps, format="mp4")
        return Made(fps=fps, frames=count, width=pictures.shape[2], height=pictures.shape[1])

    def _frames_of(self, arguments: Mapping[str, Any], seed: int) -> np.ndarray:
        """(T, H, W, 3) float, 0 to 1."""
        import diffusers
        import torch

        noise = torch.Generator("cpu").manual_seed(seed)
        with _quiet(diffusers):
            video = self._pipeline(**arguments, generator=noise, output_type="np").frames[0]
        return np.asarray(video, np.float32)

    # -- what is asked, and what the family can do ----------------------------------------------------------

    def _size(self) -> tuple[int, int]:
        height, width = self._options.size or self.family.size
        step = self.family.size_step
        if min(height, width) < step or height % step or width % step:
            near = "x".join(str(max(step, round(side / step) * step)) for side in (height, width))
            raise CorpusError(
                f"size {height}x{width}: {self.family.name} needs height and width to be multiples of {step}, as {near}"
            )
        return height, width

    def _frames(self) -> int:
        frames, step = self._options.frames or self.family.frames, self.family.frame_step
        if frames < step + 1 or frames % step != 1:
            less = max(1, (frames - 1) // step) * step + 1
            raise CorpusError(
                f"frames {frames}: {self.family.name} makes {step} k + 1 frames, such as {less} or {less + step}"
            )
        return frames

    def _guidance(self) -> float:
        given, usual = self._options.guidance, self.family.guidance
        assert usual is not None
        return usual if given is None else given

    def _more(self) -> dict[str, float]:
        """Arguments of this model alone. Raises `CorpusError` for a guidance that its pipeline does not take."""
        family = self.family
        if family.guidance is None and self._options.guidance is not None:
            raise CorpusError(f"guidance: the pipeline of {family.name} takes none; it is set in its guider's config")
        more = dict(family.more)
        if self._options.guidance is not None and "guidance_scale_2" in more:
            more["guidance_scale_2"] = self._options.guidance  # one wish for both halves of the model
        if family.more_if is not None and has(self._files or {}, family.more_if[0]):
            more.update(family.more_if[1])
        return more

    def _dtype(self) -> str:
        return self._options.dtype or ("float32" if self._device == "cpu" else self.family.dtype)

    def _class_name(self) -> str:
        return str((self._files or {})[INDEX]["_class_name"])

    def _smaller(self) -> str:
        """What to try."""
        if self._device != "cpu" and (self._options.offload or self.family.offload) != "sequential":
            return "try the offload sequential, fewer frames or a smaller size"
        return "try fewer frames or a smaller size"


# -- where the model lies --------------------------------------------------------------------------------


def _is_local(model: str) -> bool:
    """Whether it is a folder, rather than a name on the hub. Raises `CorpusError` for a path where no folder is."""
    if Path(model).is_dir():
        return True
    if Path(model).exists():
        raise CorpusError(f"{model}: expected a pipeline's folder with {INDEX}, found a file")
    if not _HUB_NAME.fullmatch(model):
        raise CorpusError(f"{model}: there is no such folder; a model on the hub is named OWNER/NAME")
    return False


def _local_files(model: str) -> dict[str, Mapping[str, Any]]:
    if not (Path(model) / INDEX).is_file():
        raise CorpusError(f"{model} is no pipeline: no {INDEX}")
    paths = {name: Path(model) / name for name in (INDEX, TRANSFORMER, VAE)}
    return {name: _read_json(path, f"{model}/{name}") for name, path in paths.items() if path.is_file()}


def _hub_files(model: str) -> dict[str, Mapping[str, Any]]:
    _import_diffusers()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    files: dict[str, Mapping[str, Any]] = {}
    for name in (INDEX, TRANSFORMER, VAE):
        try:
            files[name] = _read_json(Path(hf_hub_download(model, name)), f"{model}/{name}")
        except (LocalEntryNotFoundError, RepositoryNotFoundError) as error:
            missing = isinstance(error, RepositoryNotFoundError)
            why = "the hub has no such model, or asks for a login" if missing else "the hub cannot be reached"
            raise CorpusError(f"{model}: there is no such folder, and {why}") from error
        except EntryNotFoundError as error:
            if name == INDEX:
                raise CorpusError(f"{model} is no pipeline: no {INDEX}") from error
        except TdmmError:
            raise
        except Exception as error:
            raise CorpusError(f"{model}: cannot be fetched from the hub: {_first_line(error)}") from error
    return files


def _read_json(path: Path, name: str) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorpusError(f"{name}: cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise CorpusError(f"{name}: expected a JSON object, found {type(found).__name__}")
    return found


# -- the libraries ---------------------------------------------------------------------------------------


def _import_diffusers() -> tuple[Any, Any]:
    """diffusers and torch. Without transformers, diffusers has only stand-ins for its pipelines."""
    try:
        import diffusers
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingPartError(
            f"text-to-video models need diffusers ({_first_line(error)}): run `pip install 'tdmm[t2v]'`"
        ) from error
    return diffusers, torch


@contextmanager
def _quiet(diffusers: Any) -> Iterator[None]:
    """Without the libraries' own bars and remarks; what goes wrong is told by an exception. Put back as it was."""
    import transformers

    kept = []
    for logging in (diffusers.utils.logging, transformers.utils.logging):
        kept.append((logging, logging.get_verbosity(), logging.is_progress_bar_enabled()))
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logging, verbosity, bars in kept:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()


def _is_out_of_memory(error: Exception) -> bool:
    """torch's error for GPUs, Python's, or that of torch's allocator for the CPU."""
    import torch

    return isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def _free_memory() -> None:
    """Give back what the failed video held, so that the next one has a chance."""
    import gc

    import torch

    gc.collect()
    torch.cuda.empty_cache()


def _first_line(error: BaseException) -> str:
    """What the error says, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= _MOST_TOLD else text[: _MOST_TOLD - 3] + "..."
