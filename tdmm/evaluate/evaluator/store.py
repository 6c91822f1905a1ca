"""An evaluator in a folder: config.json, tokenizer.json, model.safetensors; and the one that comes with tdmm."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import tdmm
from tdmm.errors import EvaluationError
from tdmm.evaluate.evaluator.features import features_of
from tdmm.evaluate.evaluator.model import EvaluatorConfig, EvaluatorNetwork
from tdmm.io.whole import whole_folder
from tdmm.motion import FaceMotion

SCHEMA = "tdmm.evaluator/1"
ASSET = Path(tdmm.__file__).parent / "assets" / "evaluator"
FILES = ("config.json", "tokenizer.json", "model.safetensors")
_BATCH = 256


class Evaluator:
    """Texts and motions to embeddings (N, D) float32; not normalised."""

    def __init__(self, network: EvaluatorNetwork, tokenizer: Any, fingerprint: str, facts: dict[str, Any]) -> None:
        self.network, self.tokenizer = network.eval(), tokenizer
        self.fingerprint, self.facts = fingerprint, facts

    @cached_property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.network.parameters()).device

    def to(self, device: str) -> Evaluator:
        """The same, elsewhere."""
        self.network.to(device)
        self.__dict__.pop("device", None)
        return self

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(N, D) of texts."""
        ids = token_ids(self.tokenizer, texts, self.network.config.longest_text)
        return self._batched(len(texts), lambda part: self.network.text(torch.from_numpy(ids[part]).to(self.device)))

    def embed_motions(self, motions: Sequence[FaceMotion]) -> np.ndarray:
        """(N, D) of motions. Raises `EvaluationError` for one without the ARKit expressions."""
        return self.embed_features([features_of(motion) for motion in motions])

    def embed_features(self, features: Sequence[np.ndarray]) -> np.ndarray:
        """(N, D) of features (T, N_FEATURES) of `features_of`."""
        # Motions of like length together: little padding.
        order = np.argsort([len(motion) for motion in features], kind="stable")

        def embed(part: np.ndarray) -> torch.Tensor:
            batch, lengths = padded([features[one] for one in order[part]])
            return self.network.motion(batch.to(self.device), lengths.to(self.device))  # type: ignore[no-any-return]

        found = self._batched(len(features), embed)
        placed = np.empty_like(found)
        placed[order] = found
        return placed

    def _batched(self, count: int, embed: Any) -> np.ndarray:
        with torch.inference_mode():
            parts = [
                embed(np.arange(start, min(start + _BATCH, count))).float().cpu().numpy()
                for start in range(0, count, _BATCH)
            ]
        return np.concatenate(parts) if parts else np.zeros((0, self.network.config.embedding), np.float32)


def padded(motions: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Motions (T, F) as one tensor (B, longest T, F) with zeros behind, and their lengths (B,)."""
    lengths = torch.tensor([len(motion) for motion in motions])
    batch = torch.zeros(len(motions), int(lengths.max()), motions[0].shape[1])
    for row, motion in zip(batch, motions, strict=True):
        row[: len(motion)] = torch.from_numpy(np.asarray(motion, np.float32))
    return batch, lengths


def token_ids(tokenizer: Any, texts: Sequence[str], longest: int) -> np.ndarray:
    """(N, longest) int64 token ids, 0 behind the end; longer texts lose their end."""
    ids = np.zeros((len(texts), longest), np.int64)
    for row, encoded in zip(ids, tokenizer.encode_batch(list(texts)), strict=True):
        kept = encoded.ids[:longest]
        row[: len(kept)] = kept
    return ids


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    """A byte-pair encoding of lower-case text; id 0 is padding, 1 what it does not know."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=["[PAD]", "[UNK]"], show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_evaluator(folder: str | Path, network: EvaluatorNetwork, tokenizer: Any, facts: dict[str, Any]) -> None:
    """Write an evaluator, whole or not at all. facts: what it was trained on and how well it does."""
    with whole_folder(folder) as beside:
        tensors = {
            name: value.detach().to(torch.bfloat16).contiguous().cpu() for name, value in network.state_dict().items()
        }
        save_file(tensors, beside / "model.safetensors")
        tokenizer.save(str(beside / "tokenizer.json"), pretty=False)
        config = {"schema": SCHEMA, "config": asdict(network.config), **facts}
        (beside / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def load_evaluator(folder: str | Path | None = None) -> Evaluator:
    """The evaluator in a folder; None: that of tdmm itself. Raises `EvaluationError` that names what is wrong."""
    place = ASSET if folder is None else Path(folder)
    missing = [name for name in FILES if not (place / name).is_file()]
    if missing:
        raise EvaluationError(f"{place}: is no evaluator, there is no {missing[0]}; tdmm train evaluator makes one")
    try:
        facts = json.loads((place / "config.json").read_text(encoding="utf-8"))
        schema = facts.get("schema") if isinstance(facts, dict) else None
        if schema != SCHEMA:
            raise EvaluationError(f"{place}/config.json: schema: expected {SCHEMA!r}, found {schema!r}")
        network = EvaluatorNetwork(EvaluatorConfig(**facts["config"]))
        tensors = load_file(place / "model.safetensors")
        network.load_state_dict({name: value.float() for name, value in tensors.items()})
        tokenizer = _tokenizer(place / "tokenizer.json")
        if tokenizer.get_vocab_size() > network.config.vocabulary:
            raise EvaluationError(
                f"{place}/tokenizer.json: has {tokenizer.get_vocab_size()} tokens, the evaluator knows "
                f"{network.config.vocabulary}; the two belong to different evaluators"
            )
    except EvaluationError:
        raise
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise EvaluationError(f"{place}: is no evaluator that can be read ({reason})") from error
    # Sizes such as the number of heads change what comes out, and not the weights.
    digest = sha256(json.dumps(asdict(network.config), sort_keys=True).encode())
    for name in FILES[1:]:
        digest.update((place / name).read_bytes())
    return Evaluator(network, tokenizer, digest.hexdigest()[:16], facts)


def _tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # it has no errors of its own
        raise EvaluationError(f"{path}: is no tokenizer that can be read ({error})") from error
