"""Where `tdmm animate` puts what it makes: motions, tokens, a video, a stream of frames, a folder of motions."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tdmm.cli import paths
from tdmm.cli.animate_inputs import Prompt
from tdmm.cli.usage import UsageError

if TYPE_CHECKING:
    from tdmm.face.model import FaceModel
    from tdmm.lm.animate import Animated
    from tdmm.motion import FaceMotion
    from tdmm.render import RenderOptions
    from tdmm.vq.codec import Codec

VIDEOS = (".mp4", ".gif")
MOST_CELLS = 36  # of a grid


@dataclass(frozen=True)
class Target:
    """kind: motions, tokens, video, stream or folder. files: of motions, one a sample, in their order; `-`: stdout."""

    kind: str
    output: str
    files: tuple[str, ...] = ()


def plan(output: str | None, prompts: Sequence[Prompt], samples: int, *, stream: bool, force: bool) -> Target:
    """Raises `UsageError` for an output that does not go with what is asked for, `OutputError` where it is taken."""
    output = paths.STANDARD if output is None else output
    count = len(prompts) * samples
    suffix = Path(output).suffix.lower()
    if stream:
        if count > 1:
            raise UsageError(f"--stream gives the frames of one motion, and {count} are asked for")
        if output != paths.STANDARD and (suffix != ".jsonl" or Path(output).is_dir()) and not _is_device(output):
            raise UsageError(f"-o {output}: --stream writes lines of JSON: name a file that ends in .jsonl, or -")
        if output != paths.STANDARD:
            paths.check_place(output, force=force)
        return Target("stream", output)
    if output == paths.STANDARD:
        if count > 1:
            raise UsageError(f"{count} motions need a folder (-o DIR/), tokens (OUT.jsonl) or a video (OUT.mp4)")
        paths.refuse_terminal()
        return Target("motions", output, (output,))
    if output.endswith(("/", os.sep)) or Path(output).is_dir():
        paths.check_folder(Path(output))
        return Target("folder", output)
    if suffix in VIDEOS or suffix == ".jsonl":
        if suffix in VIDEOS and count > MOST_CELLS:
            raise UsageError(f"-o {output}: {count} motions are too many for one picture; name a folder: -o DIR/")
        paths.check_place(output, force=force)
        return Target("tokens" if suffix == ".jsonl" else "video", output)
    if suffix != ".npz" and not _is_device(output):
        raise UsageError(
            f"-o {output}: expected a name that ends in .npz, .mp4, .gif, .jsonl (tokens), or a folder DIR/"
        )
    if len(prompts) > 1:
        raise UsageError(f"{len(prompts)} prompts need a folder: -o DIR/")
    stem = output[: len(output) - len(suffix)]
    files = [output] if samples == 1 else [f"{stem}-{number}{suffix}" for number in range(1, samples + 1)]
    for file in files:
        paths.check_place(file, force=force)
    return Target("motions", output, tuple(files))


def names_of(prompt: Prompt, samples: int) -> list[str]:
    """What the motions of a prompt are called, in a folder and in tokens."""
    return [prompt.of_sample(number, samples) for number in range(samples)]


def files_in(folder: str, prompt: Prompt, samples: int) -> list[Path]:
    """The motions of a prompt in a folder."""
    return [Path(folder) / f"{name}.npz" for name in names_of(prompt, samples)]


def write_motions(found: Iterable[Animated], files: Iterable[str | Path]) -> None:
    """Each to its file; their folders are made."""
    from tdmm.io.motion_file import write_motion

    for one, file in zip(found, files, strict=True):
        if file == paths.STANDARD:
            write_motion(one.motion, paths.stdout_bytes())
            continue
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        write_motion(one.motion, file)


def write_all_tokens(batches: Iterable[Sequence[tuple[str, Animated]]], output: str, codec: Codec) -> None:
    """Lines of tokens: as they were written, or, of what was written in parts, coded again."""
    from dataclasses import replace

    from tdmm.io.tokens_file import write_tokens

    def lines() -> Iterator[object]:
        for batch in batches:
            for name, one in batch:
                yield codec.encode(one.motion, name) if one.tokens is None else replace(one.tokens, id=name)

    write_tokens(output, lines())  # type: ignore[arg-type]


def write_video(
    motions: Sequence[FaceMotion],
    labels: Sequence[str],
    output: str,
    model: FaceModel,
    options: RenderOptions,
    device: str,
    progress: Callable[[str, int, int | None], None],
) -> int:
    """One motion, or several in a grid; how many pictures."""
    from tdmm.io.video import write_video as write
    from tdmm.render import render, render_grid

    if len(motions) == 1:
        pictures = render(motions[0], face_model=model, options=options, device=device)
    else:
        pictures = render_grid(motions, labels, face_model=model, options=options, device=device)

    def counted() -> Iterator[object]:
        for done, picture in enumerate(pictures, start=1):
            progress("drawing", done, pictures.n_frames)
            yield picture

    with closing(pictures):
        return write(counted(), output, pictures.fps)  # type: ignore[arg-type]


@contextmanager
def stream_to(output: str) -> Iterator[BinaryIO]:
    """Where lines of frames go, each at once."""
    from tdmm.io.whole import whole_file

    if output == paths.STANDARD:
        sys.stdout.flush()
        yield sys.stdout.buffer
        return
    with whole_file(output) as beside, open(beside, "wb") as file:
        yield file


def _is_device(name: str) -> bool:
    return os.path.exists(name) and not os.path.isfile(name) and not os.path.isdir(name)
