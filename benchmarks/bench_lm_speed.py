"""How fast the language model writes: against `generate` of transformers, against real time, and as fresh processes.

Where tdmm comes without a language model, one of random weights of its size and vocabulary is measured: the time is the
same.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.bench_startup import program, seconds
from benchmarks.table import Row
from tdmm.engine import usable_cores
from tdmm.lm.decode import Decoder
from tdmm.lm.grammar import MotionGrammar, MotionLogitsProcessor
from tdmm.lm.model_folder import ASSET, CONFIG, LanguageModel, load_language_model, save_language_model
from tdmm.lm.sampling import Sampling
from tdmm.lm.sequences import animate_given
from tdmm.lm.vocabulary import MotionVocabulary
from tdmm.vq.codec import shipped_codec

PROMPT = "smiles then nods"
SECONDS = 4.0
REPEATS = 5
BATCH = 64
SAMPLING, GUIDED = Sampling(), Sampling(guidance=2.0)


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shipped = (ASSET / CONFIG).is_file()
        where = None if shipped else made(folder / "lm")
        note = "the shipped model" if shipped else "random weights of the shipped size"
        rows = of_one_stream(load_language_model(where), note)
        rows += of_the_gpu(where, note)
        return rows + of_processes(where, folder)


def made(folder: Path) -> Path:
    """A language model that has learnt nothing, for the shipped codec."""
    from tdmm.lm.backbone import new_backbone
    from tdmm.lm.tokenizer import learn_tokenizer

    codec = shipped_codec()
    # Of words that nobody uses, as many as the shipped tokenizer has.
    words = [f"{one}{two}{three}" for one in "abcdefghij" for two in "klmnopqrst" for three in "uvwxyzabcd"]
    tokenizer = learn_tokenizer([" ".join([*words, PROMPT])] * 2, 2000)
    bound = MotionVocabulary(codec.config.streams, codec.config.sizes).bind(tokenizer)
    torch.manual_seed(0)
    save_language_model(folder, new_backbone(bound), bound, {"codec": codec.fingerprint}, PROMPT.split())
    return folder


def of_one_stream(lm: LanguageModel, note: str) -> list[Row]:
    """One motion on the CPU, token by token."""
    plain, own, guided = speeds(lm, 1)
    real = real_time()
    cores = f"{usable_cores()} cores, median of {REPEATS}; {note}"
    told = f"{own:,.0f} tokens/s, generate() {plain:,.0f}; {cores}"
    return [
        Row("motion tokens, one stream, CPU, against generate()", own / plain, "x", 1.5, 3.0, note=told),
        Row("the same, times real time", own / real, "x", None, 3.0, note=f"{real:g} tokens are a second"),
        Row("the same with guidance, times real time", guided / real, "x", None, 3.0, note=f"{guided:,.0f} tokens/s"),
    ]


def of_the_gpu(where: Path | None, note: str) -> list[Row]:
    """Many motions at once."""
    what = f"motion tokens, batch {BATCH}, GPU, against generate()"
    if not torch.cuda.is_available():
        return [Row(what, None, "x", 3.0, 10.0, note="no GPU here")]
    plain, own, guided = speeds(load_language_model(where, "cuda"), BATCH)
    told = f"{own:,.0f} tokens/s, generate() {plain:,.0f}; {torch.cuda.get_device_name()}, median of {REPEATS}; {note}"
    return [
        Row(what, own / plain, "x", 3.0, 10.0, note=told),
        Row("the same, times real time", own / real_time(), "x"),
        Row("the same with guidance, times real time", guided / real_time(), "x", note=f"{guided:,.0f} tokens/s"),
    ]


def real_time() -> float:
    """Motion tokens of a second of motion."""
    return shipped_codec().config.tokens_per_second


def speeds(lm: LanguageModel, rows: int) -> tuple[float, float, float]:
    """Tokens a second, of all rows together: by `generate`, by the decoder, and by the decoder with guidance."""
    codec = shipped_codec().config
    grammar = MotionGrammar(lm.bound, round(SECONDS * codec.fps / codec.stride))
    given, dropped = ([animate_given(lm.bound, text)] * rows for text in (PROMPT, ""))
    decoder = Decoder(lm)
    one, other, third = tokens_a_second(
        lambda: generated(lm, given, grammar),
        lambda: decoder.write(given, [grammar] * rows, SAMPLING, range(rows)),
        lambda: decoder.write(given, [grammar] * rows, GUIDED, range(rows), unprompted=dropped),
    )
    return one, other, third


def generated(lm: LanguageModel, given: Sequence[Sequence[int]], grammar: MotionGrammar) -> list[list[int]]:
    """What `generate` of transformers writes under the same grammar."""
    ids = torch.tensor(given, device=lm.device)
    written = lm.network.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        logits_processor=[MotionLogitsProcessor(grammar, ids.shape[1])],
        do_sample=True,
        temperature=SAMPLING.temperature,
        top_p=SAMPLING.top_p,
        top_k=0,
        max_new_tokens=grammar.most_tokens,
    )
    return written[:, ids.shape[1] :].tolist()


def tokens_a_second(*works: Callable[[], list[list[int]]]) -> list[float]:
    """Of each, the median of some runs after a first one that does not count; they take turns."""
    found: list[list[float]] = [[] for _ in works]
    for repeat in range(REPEATS + 1):
        for speeds_of, work in zip(found, works, strict=True):
            started = time.perf_counter()
            written = work()
            passed = time.perf_counter() - started
            if repeat:
                speeds_of.append(sum(map(len, written)) / passed)
    return [statistics.median(values) for values in found]


def of_processes(where: Path | None, folder: Path) -> list[Row]:
    """What a person waits for, files cached and code compiled."""
    model = [] if where is None else ["--model", str(where)]
    video, motion = folder / "out.mp4", folder / "p.npz"
    options = ["--seconds", f"{SECONDS:g}", "--force", "--quiet", *model]
    animate = [*program(), "animate", PROMPT, *options, "-o"]
    seconds([*animate, str(motion)])
    times = {}
    for name, command in (
        ("animate", [*animate, str(video)]),
        ("describe", [*program(), "describe", str(motion), "--quiet", *model]),
    ):
        seconds(command)
        times[name] = statistics.median(seconds(command) for _ in range(REPEATS))
    note = f"fresh process, {usable_cores()} cores, median of {REPEATS}"
    if where is not None:
        note += "; random weights, whose texts are as long as they may be"
    return [
        Row(f"tdmm animate, {SECONDS:g} s, 512 x 512 mp4", times["animate"], "s", 10.0, 5.0, False, note),
        Row("tdmm describe", times["describe"], "s", 5.0, 2.5, False, note),
    ]


if __name__ == "__main__":
    for row in run():
        print(row)
