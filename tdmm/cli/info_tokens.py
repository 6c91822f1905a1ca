"""What `tdmm info` tells of files of tokens, and of codecs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, BinaryIO

from tdmm.errors import TokensError

CODEC_SCHEMA = "tdmm.codec/1"  # as tdmm.vq.codec has it, which takes a second to import


def tokens_facts(name: str, source: str | Path | BinaryIO, codec: str | None) -> dict[str, Any]:
    """codec: a folder; None: the codec of tdmm. Raises `TokensError` where no line holds tokens."""
    import numpy as np

    from tdmm.io.tokens_file import MotionTokens, read_tokens
    from tdmm.vq.codebook import codebook_use

    first: MotionTokens | None = None
    wrong: list[TokensError] = []
    codecs: set[str] = set()
    codes: list[Any] = []
    motions = frames = 0
    for tokens in read_tokens(source, name):
        if isinstance(tokens, TokensError):
            wrong.append(tokens)
            continue
        first = first or tokens
        codecs.add(tokens.codec)
        motions, frames = motions + (tokens.part in (None, 0)), frames + tokens.frames
        if tokens.sizes == first.sizes:
            codes.append(tokens.codes.astype(np.int32))
    if first is None:
        raise wrong[0] if wrong else TokensError(f"{name}: expected lines of tokens, found none")
    known = _known_fingerprint(codec)
    use = codebook_use(codes, first.sizes)
    return {
        "file": name,
        "kind": "tokens",
        "motions": motions,
        "frames": frames,
        "duration": frames / first.fps,
        "codec": first.codec if len(codecs) == 1 else sorted(codecs),
        "codec_matches": None if known is None else codecs == {known},
        "face_model": first.face_model,
        "fps": first.fps,
        "stride": first.stride,
        "tokens": use.tokens * len(first.sizes),
        "tokens_per_second": first.tokens_per_second,
        "bits_per_second": round(first.bits_per_second, 3),
        "streams": list(first.streams),
        "codes": list(first.sizes),
        "codes_used": list(use.used),
        "perplexity": [round(value, 1) for value in use.perplexity],
        "first": first.id,
        "wrong_lines": len(wrong) or None,
        "first_wrong": str(wrong[0]) if wrong else None,
    }


def _known_fingerprint(codec: str | None) -> str | None:
    """Of the codec in the folder, or of that of tdmm; None where that is not there."""
    from tdmm.vq.codec import ASSET

    if codec is None and not is_codec(ASSET):
        return None
    return str(_described(ASSET if codec is None else Path(codec)).get("fingerprint"))


def is_codec(folder: Path) -> bool:
    """Whether a folder holds a codec of tdmm train vq."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("schema") == CODEC_SCHEMA


def _described(folder: Path) -> dict[str, Any]:
    if not is_codec(folder):
        raise TokensError(f"{folder}: is no codec; tdmm train vq makes one")
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def codec_facts(folder: Path) -> dict[str, Any]:
    """Raises `TokensError` for one that is not whole."""
    from tdmm.vq.codec import CodecNetwork
    from tdmm.vq.columns import columns_of
    from tdmm.vq.config import config_of
    from tdmm.vq.geometry import GeometryView

    facts = _described(folder)
    missing = [key for key in ("fingerprint", "config", "columns") if key not in facts]
    if missing or not (folder / "model.safetensors").is_file():
        raise TokensError(
            f"{folder}: is no whole codec, there is no {(*missing, 'model.safetensors')[0]}; copy it again"
        )
    config, columns = config_of(facts["config"]), columns_of(facts["columns"])
    shape = facts.get("view")
    view = GeometryView(shape[0] // 3, shape[1]) if isinstance(shape, list) else None
    trained = facts.get("trained")
    trained = trained if isinstance(trained, dict) else {}
    return {
        "file": str(folder),
        "kind": "codec",
        "fingerprint": facts["fingerprint"],
        "codec_of_tdmm": facts["fingerprint"] == _known_fingerprint(None),
        "face_model": columns.face_model,
        "face_model_sha256": columns.face_model_sha256,
        "expressions": len(columns.expression_names),
        "fps": config.fps,
        "stride": config.stride,
        "quantiser": config.quantiser,
        "input": config.input,
        "face": f"{config.face.codebooks} x {config.face.codes}",
        "head": f"{config.head.codebooks} x {config.head.codes}",
        "tokens_per_second": config.tokens_per_second,
        "bits_per_second": round(sum(map(math.log2, config.sizes)) * config.fps / config.stride, 3),
        "look_ahead_frames": config.encoder_ahead * config.stride + config.look_ahead,
        "parameters": sum(value.numel() for value in CodecNetwork(config, columns, view).parameters()),
        "bytes": (folder / "model.safetensors").stat().st_size,
        "trained": {name: value for name, value in trained.items() if name != "options"},
    }
