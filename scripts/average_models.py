"""Average language models of one architecture and vocabulary, weight by weight: one of them, trained on, is at times
better for it (Wortsman et al., 2022: model soups).

Usage: python scripts/average_models.py second third --output mean

The facts of the result are those of the last model; its words, and how long a motion it knows, are those of all.
"""

from __future__ import annotations

import argparse

import torch

from tdmm.lm.model_folder import load_language_model, save_language_model


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="folders of tdmm train lm")
    parser.add_argument("--output", required=True)
    told = parser.parse_args()
    models = [load_language_model(folder) for folder in told.models]
    last = models[-1]
    if any(one.bound.tokenizer.get_vocab() != last.bound.tokenizer.get_vocab() for one in models):
        raise SystemExit("the models have different vocabularies")
    weights = [model.network.state_dict() for model in models]
    if any(one.keys() != weights[0].keys() for one in weights):
        raise SystemExit("the models have different architectures")
    mean = {name: torch.stack([one[name].float() for one in weights]).mean(dim=0) for name in weights[-1]}
    network = last.network
    network.load_state_dict(mean)
    words = frozenset[str]().union(*(model.words for model in models))
    longest = [one.facts["longest_steps"] for one in models if one.facts.get("longest_steps")]
    facts = {**last.facts, "longest_steps": max(longest)} if longest else last.facts
    save_language_model(told.output, network, last.bound, facts, words)


if __name__ == "__main__":
    main()
