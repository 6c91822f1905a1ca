"""`tdmm generate-corpus`: prompts to clips."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tdmm.cli import paths
from tdmm.cli.console import Console
from tdmm.cli.corpus_options import (
    LAYOUTS,
    check_amount,
    choice_of,
    generators_of,
    given_prompts,
    picture_size,
    variations_of,
)
from tdmm.cli.engines import (
    EngineChoice,
    EngineOption,
    RayAddressOption,
    choose_engine,
    count_of_workers,
)
from tdmm.cli.options import DebugOption, DeviceChoice, DeviceOption, JsonOption, QuietOption, VerboseOption
from tdmm.cli.usage import UsageError

if TYPE_CHECKING:
    from tdmm.corpus.build import CorpusJob, Made
    from tdmm.corpus.importing import Imported

# Measured: a process that renders clips takes 0.6 GB.
WORKER_BYTES = 700_000_000
_FAILURES_TOLD = 20
# Clips of a --dry-run that does not say how many.
_SHOWN = 10


def command(
    prompts: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPTS|-",
            help="A file of prompts, one a line: a program (smile > nod*2), PROGRAM | TEXT, a text, or a JSON object; "
            "- is standard input. Without it, the prompt suite and the bank of free prompts.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="DIR", help="The folder of the corpus; one that is there grows."),
    ] = None,
    clips: Annotated[
        int | None, typer.Option("--clips", metavar="N", help="How many clips the corpus shall have.")
    ] = None,
    hours: Annotated[
        float | None, typer.Option("--hours", metavar="H", help="How long they shall be together.")
    ] = None,
    generator: Annotated[
        list[str] | None,
        typer.Option(
            "--generator",
            "-g",
            metavar="SPEC[=WEIGHT]",
            help="procedural, diffusers:FOLDER_OR_HUB_NAME, or command:'PROGRAM {prompt} {seed} {output}'; several are "
            "mixed by their weights.",
            show_default="procedural",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="NAME=VALUE",
            help="For video generators: frames, fps, steps, guidance, dtype, offload, timeout, licence.",
        ),
    ] = None,
    motions_only: Annotated[
        bool, typer.Option("--motions-only", help="No pictures: motions in compact shards, 10 MB an hour.")
    ] = False,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="N|WxH", help="Pixels of the videos.", show_default="256, or the model's own"),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="K", help="Clips of each prompt, each with a seed of its own.")
    ] = 1,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="WHAT",
            help="What changes among the clips of one prompt: wording, appearance, place, light, camera, or all.",
        ),
    ] = None,
    emotion: Annotated[
        list[str] | None, typer.Option("--emotion", metavar="ID,...", help="Only these emotions.")
    ] = None,
    intensity: Annotated[
        list[str] | None, typer.Option("--intensity", metavar="LEVEL,...", help="Only slight, moderate or strong ones.")
    ] = None,
    action: Annotated[
        list[str] | None, typer.Option("--action", metavar="ID,...", help="Only these facial actions.")
    ] = None,
    head: Annotated[
        list[str] | None, typer.Option("--head", metavar="ID,...", help="Only these head movements.")
    ] = None,
    gaze: Annotated[
        list[str] | None, typer.Option("--gaze", metavar="ID,...", help="Only these movements of gaze.")
    ] = None,
    speech: Annotated[
        list[str] | None, typer.Option("--speech", metavar="ID,...", help="Only these ways of speaking.")
    ] = None,
    no_bank: Annotated[bool, typer.Option("--no-bank", help="The even suite alone, without free prompts.")] = False,
    from_folder: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Bring in existing videos with captions (VideoFolder, JSON, CSV, .txt beside videos, WebDataset "
            "shards) instead of making some.",
        ),
    ] = None,
    chosen_fields: Annotated[
        list[str] | None,
        typer.Option(
            "--field", metavar="OURS=THEIRS", help="With --from: text=caption, video=path, emotion=label, ..."
        ),
    ] = None,
    layout: Annotated[
        str, typer.Option("--layout", metavar="|".join(LAYOUTS), help="How the corpus is kept.")
    ] = LAYOUTS[0],
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Another seed, another corpus.")] = 0,
    list_behaviours: Annotated[
        bool, typer.Option("--list", help="Print what can be asked for (with --json all that is known of it) and stop.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the clips as JSON lines, and make nothing.")
    ] = False,
    workers: Annotated[
        str, typer.Option("--workers", metavar="N|auto", help="Processes; auto: one a core, and one a GPU for models.")
    ] = "auto",
    engine: EngineOption = EngineChoice.local,
    ray_address: RayAddressOption = None,
    device: DeviceOption = DeviceChoice.auto,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    debug: DebugOption = False,
) -> None:
    """Make a corpus of prompted facial behaviour.

    A clip is a video, its text (with other wordings, captions, questions and answers), and what is known of its motion.
    The procedural generator performs programs of 161 behaviours and films them: its motions are true. Text-to-video
    models and other programs make videos whose motions `tdmm fit DIR` finds.

    A run that was stopped goes on where it was; with a larger --clips or --hours, or another --seed, the corpus grows.
    Exit code 1 when clips failed; they are listed, also in DIR/failed.jsonl. docs/corpus.md tells more.

    \b
    Examples:
      tdmm generate-corpus -o corpus --clips 8
      tdmm generate-corpus -o corpus --hours 80 --motions-only
      tdmm generate-corpus -o smiles --clips 40 --action smile,grin,smirk --head nod,tilt --no-bank
      echo 'smile > nod*2' | tdmm generate-corpus - -o corpus --seeds 4
      tdmm generate-corpus prompts.txt -o corpus --seeds 4 --vary appearance
      tdmm generate-corpus -o corpus --clips 100 -g diffusers:models/Wan2.1-T2V-1.3B-Diffusers
      tdmm generate-corpus -o corpus --clips 9 -g "command:my-t2v --text {prompt} --seed {seed} --out {output}"
      tdmm generate-corpus -o corpus --clips 1000 -g procedural=3 -g diffusers:models/ltx=1
      tdmm generate-corpus -o corpus --from released/ --field text=caption
      tdmm generate-corpus --clips 20 --dry-run | jq -r .text
      tdmm generate-corpus --list
      tdmm fit corpus                                         motions of the videos that have none
      tdmm info corpus --report report.html                   what is in it
    """
    console = Console(quiet=quiet, verbose=verbose)
    wanted = {
        "emotion": emotion,
        "intensity": intensity,
        "action": action,
        "head": head,
        "gaze": gaze,
        "speech": speech,
    }
    if list_behaviours:
        _list(as_json=as_json)
        return
    if from_folder is not None:
        others = {
            "prompts": prompts,
            "--clips": clips,
            "--hours": hours,
            "--generator": generator,
            "--option": option,
            "--motions-only": motions_only,
            "--size": size,
            "--vary": vary,
            "--dry-run": dry_run,
            **{f"--{slot}": values for slot, values in wanted.items()},
        }
        if senseless := [name for name, value in others.items() if value not in (None, False)]:
            raise UsageError(f"--from brings in what there is: leave {senseless[0]} out")
        _import(from_folder, output, chosen_fields or [], layout, console, as_json=as_json)
        return
    if chosen_fields:
        raise UsageError("--field chooses columns of a folder: it needs --from FOLDER")
    if ray_address is not None and engine is not EngineChoice.ray:
        raise UsageError("--ray-address needs --engine ray")
    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: expected a positive number")
    if seed < 0:
        raise UsageError(f"--seed {seed}: expected a number from 0 on")
    if layout not in LAYOUTS:
        raise UsageError(f"--layout {layout}: expected {', '.join(LAYOUTS)}")
    if prompts is not None and (chosen := [slot for slot, values in wanted.items() if values]):
        raise UsageError(f"--{chosen[0]} chooses what the prompt suite asks for, and here the prompts are given")
    from tdmm.corpus.build import CorpusJob
    from tdmm.corpus.plan import Settings

    given = given_prompts(prompts)
    settings = Settings(
        seed=seed,
        choice=choice_of(wanted),
        free=not (no_bank or any(wanted.values())),
        given=given,
        seeds=seeds,
        vary=variations_of(vary or [], seeds),
    )
    clips, hours = check_amount(clips, hours, len(given) * seeds, usual=_SHOWN if dry_run else None)
    if dry_run:
        _show(settings, generator or ["procedural"], _SHOWN if clips is None else clips)
        return
    output = _folder(output)
    generators = generators_of(generator or ["procedural"], option or [], size, device, console)
    job = CorpusJob(
        folder=Path(os.path.abspath(output)),
        settings=settings,
        generators=generators,
        size=picture_size(size) or (256, 256),
        motions_only=motions_only,
        video_folder=layout == "videofolder",
        strict=debug,
    )
    made = _make(job, clips, hours, count_of_workers(workers), engine, ray_address, console)
    told: dict[str, Any] = {"corpus": output, **_as_dict(made)}
    if layout == "webdataset":
        from tdmm.corpus.webdataset import SHARDS, pack

        told["shards"] = [str(path) for path in pack(job.manifest, job.folder / SHARDS)]
    _sum_up(output, made, console)
    if as_json:
        sys.stdout.write(json.dumps(told) + "\n")
    if made.failures:
        raise typer.Exit(1)


def _folder(output: str | None) -> str:
    """-o, if a corpus can be there."""
    if output is None:
        raise UsageError("Missing option -o DIR: name the folder of the corpus")
    if output == paths.STANDARD:
        raise UsageError("-o -: a corpus is a folder, which standard output cannot be; name one")
    if Path(output).exists() and not Path(output).is_dir():
        raise UsageError(f"-o {output} is a file; a corpus is a folder")
    paths.check_folder(Path(output))
    return output


def _make(
    job: CorpusJob,
    clips: int | None,
    hours: float | None,
    workers: int | None,
    engine: EngineChoice,
    ray_address: str | None,
    console: Console,
) -> Made:
    from tdmm.corpus.build import generate_corpus

    def advance(done: int, total: int) -> None:
        if bar is not None:
            bar.to(done, total, failed)

    failed = 0

    def fail(name: str, reason: str) -> None:
        nonlocal failed
        failed += 1
        if failed <= _FAILURES_TOLD:
            console.error(f"{name}: {reason}")

    with console.batch(clips or 0, "clips") as bar:
        return generate_corpus(
            job,
            clips=clips,
            hours=hours,
            engine=choose_engine(engine, ray_address, workers, WORKER_BYTES),
            video_engine=_video_engine(job, engine, ray_address, workers),
            progress=advance,
            on_failure=fail,
        )


def _video_engine(job: CorpusJob, engine: EngineChoice, ray_address: str | None, workers: int | None) -> Any:
    """One process a GPU for models; another program is run by one of ours at a time, unless more are asked for."""
    from tdmm.engine import in_sequence

    if not job.generators.video or (engine is EngineChoice.local and workers in (None, 1) and _gpus(job) < 2):
        return in_sequence
    return choose_engine(engine, ray_address, workers or max(1, _gpus(job)), 0)


def _gpus(job: CorpusJob) -> int:
    if all(generator.name != "diffusers" for generator in job.generators.video):
        return 0
    import torch

    return torch.cuda.device_count()


def _as_dict(made: Made) -> dict[str, Any]:
    return {
        "made": made.clips,
        "there_before": made.there_before,
        "hours": round(made.hours, 4),
        "failed": [{"id": name, "error": reason} for name, reason in made.failures],
    }


def _sum_up(output: str, made: Made, console: Console) -> None:
    before = f", {made.there_before} were there already" if made.there_before else ""
    console.say(f"{output}: {made.clips} clips made{before}; {made.hours:.2f} hours in all")
    if made.failures:
        console.error(f"{len(made.failures)} clips failed (also in {Path(output) / 'failed.jsonl'})")


def _show(settings: Any, specs: list[str], count: int) -> None:
    """The clips as they would be, one JSON object a line: performed, or what a video generator would be asked for."""
    from tdmm.corpus.build import Generators
    from tdmm.corpus.generators.base import parse_generator
    from tdmm.corpus.lines import ask_for_clip, perform_clip
    from tdmm.corpus.plan import plan_clip

    parsed = [parse_generator(spec) for spec in specs]
    procedural = sum(weight for kind, _, weight in parsed if kind == "procedural")
    shares = Generators((), (procedural, *(weight for kind, _, weight in parsed if kind != "procedural")))
    for number in range(count):
        planned = plan_clip(number, settings)
        asked = planned.program is None or shares.of(number, settings.seed) > 0
        fields = ask_for_clip(planned) if asked else perform_clip(planned)[1]
        sys.stdout.write(json.dumps(fields, ensure_ascii=False) + "\n")


def _list(*, as_json: bool) -> None:
    from tdmm.corpus.language.phrases import ways
    from tdmm.corpus.lexicon import behaviours

    for one in behaviours().values():
        phrases = ways()[one.id]
        if as_json:
            what = {"id": one.id, "kind": one.kind, "part": one.part or one.family, "au": one.au, "sided": one.sided}
            more = {
                "sides": one.sides,
                "counted": one.repeats,
                "ways": phrases.count,
                "verbs": phrases.verbs or phrases.verbs_side,
            }
            sys.stdout.write(json.dumps({**what, **more}, ensure_ascii=False) + "\n")
            continue
        signs = [".left|.right"] if one.sided else ["[.left|.right]"] if one.sides else []
        signs += ["[*N]"] if one.repeats else []
        au = f"AU {'+'.join(one.au)}" if one.au else ""
        sys.stdout.write(f"{one.kind:<8} {one.id + ''.join(signs):<34} {au}".rstrip() + "\n")


def _import(
    folder: str, output: str | None, fields: list[str], layout: str, console: Console, *, as_json: bool
) -> None:
    """--from: existing videos."""
    from tdmm.corpus.generators.folder import parse_fields, read_foreign
    from tdmm.corpus.importing import import_videos
    from tdmm.corpus.webdataset import shards_in, unpack
    from tdmm.io.manifest import find_manifest

    output = _folder(output)
    if layout not in LAYOUTS[:2]:
        raise UsageError(f"--layout {layout}: videos are brought in as {' or '.join(LAYOUTS[:2])}")
    if os.path.realpath(folder) == os.path.realpath(output):
        raise UsageError(f"{folder} is both where the videos come from and where they go")
    shards = shards_in(Path(folder)) if os.path.isdir(folder) and not fields else []
    if shards and find_manifest(folder) is None:
        console.say(f"{folder}: {len(shards)} WebDataset shards")
        done = unpack(
            shards,
            Path(output),
            video_folder=layout == "videofolder",
            on_failure=lambda name, reason: console.error(f"{name}: {reason}"),
        )
        _sum_up_import(output, done, console, as_json=as_json)
        return
    foreign = read_foreign(folder, fields=parse_fields(fields))
    console.say(f"{folder}: {len(foreign.clips)} videos with captions, from {foreign.source}")
    if foreign.untold:
        console.say(f"{len(foreign.untold)} videos have no caption and stay out")
    with console.batch(len(foreign.clips), "videos") as bar:
        done = import_videos(
            foreign,
            Path(output),
            source=folder,
            video_folder=layout == "videofolder",
            on_failure=lambda name, reason: console.error(f"{name}: {reason}"),
            progress=None if bar is None else (lambda done, total: bar.to(done, total, 0)),
        )
    _sum_up_import(output, done, console, as_json=as_json)


def _sum_up_import(output: str, done: Imported, console: Console, *, as_json: bool) -> None:
    before = f", {done.there_before} were there already" if done.there_before else ""
    console.say(f"{output}: {done.clips} clips{before}")
    if as_json:
        failed = [{"id": name, "error": reason} for name, reason in done.failures]
        told = {"corpus": output, "made": done.clips, "there_before": done.there_before, "failed": failed}
        sys.stdout.write(json.dumps(told) + "\n")
    if done.failures:
        console.error(f"{len(done.failures)} videos failed (also in {Path(output) / 'failed.jsonl'})")
        raise typer.Exit(1)
