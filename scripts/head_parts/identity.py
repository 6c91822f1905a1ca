"""Identity: principal components of many sampled faces (phenotypes and local changes of the MakeHuman mesh)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .source import Source, phenotype_weights

N_SAMPLES = 1200
SEED = 20240
SIZE_KEPT = 0.4
# Spread of a local change, in MakeHuman's units of the slider's whole way. What opens the eyes or bends the mouth's
# corners is expression, not identity: those are left out or kept small.
SPREAD = 0.17
PLACES = ("cheek", "chin", "ear", "eyebrows", "eye", "forehead", "head", "mouth", "neck", "nose")
LEFT_OUT = (
    "mouth-angles",
    "mouth-trans-out",
    "nose-trans-out",
    "head-trans",
    "head-angle",
    "neck-trans",
    "mouth-dimples",
    "ear-shape-triangle",
)
SMALL = {"eye-height": 0.5, "eye-push": 0.6, "mouth-laugh-lines": 0.4, "ear-": 0.5, "neck-": 0.5, "mouth-trans-up": 0.6}


def local_spreads(names: np.ndarray) -> np.ndarray:
    """Standard deviation (L,) of each local change, 0 for those that are no part of a face's identity."""
    spreads = np.zeros(len(names))
    for index, full in enumerate(names):
        name = str(full).removeprefix("l-").removeprefix("r-")
        if name.split("-")[0] in PLACES and not name.startswith(LEFT_OUT):
            spreads[index] = SPREAD * next((k for start, k in SMALL.items() if name.startswith(start)), 1.0)
    return spreads


def sample_base(source: Source, rng: np.random.Generator, spreads: np.ndarray) -> np.ndarray:
    """One adult's base mesh (N, 3), metres, the head joint at the origin."""
    values = {
        "gender": rng.uniform(0, 1),
        "age": rng.uniform(0.58, 0.95),
        "muscle": np.clip(rng.normal(0.5, 0.2), 0, 1),
        "weight": np.clip(rng.normal(0.5, 0.2), 0, 1),
        "height": np.clip(rng.normal(0.5, 0.15), 0, 1),
        "proportions": rng.uniform(0.3, 0.7),
    }
    base, joint = phenotype_base(source, values, rng.dirichlet(np.full(3, 0.7)))
    amount = rng.normal(size=len(spreads))
    # A left and its right side change together but for a little.
    names = [str(name) for name in source.local_names]
    for index, name in enumerate(names):
        if name.startswith("r-"):
            left = names.index("l-" + name[2:])
            amount[index] = 0.97 * amount[left] + np.sqrt(1 - 0.97**2) * amount[index]
    amount = np.clip(amount, -2.5, 2.5) * spreads
    weights = np.stack([np.maximum(amount, 0), np.maximum(-amount, 0)], axis=1).reshape(-1)
    used = weights > 0
    base += np.tensordot(weights[used], source.local[used], 1)
    joint += weights @ source.joint_local
    return base - joint


def phenotype_base(source: Source, values: dict[str, float], races: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Base mesh (N, 3) and head joint (3,) of a phenotype, metres."""
    weights = phenotype_weights(source, values, races)
    used = weights > 0
    base = source.template + np.tensordot(weights[used], source.phenotype[used], 1)
    return base, source.joint_template + weights @ source.joint_phenotype


def sample_bases(source: Source, n_samples: int = N_SAMPLES, keep: np.ndarray | None = None) -> np.ndarray:
    """(n_samples, K, 3) base meshes, or the vertices `keep` of them.

    MakeHuman's heads grow with the body: their sizes spread by 9 %, adults' heads by 3 to 4 %. The logarithm of the
    size, about the head joint, is shrunk to `SIZE_KEPT`.
    """
    rng = np.random.default_rng(SEED)
    spreads = local_spreads(source.local_names)
    keep = np.arange(len(source.template)) if keep is None else keep
    kept = replace(
        source,
        template=source.template[keep],
        phenotype=source.phenotype[:, keep],
        local=source.local[:, keep],
    )
    samples = np.stack([sample_base(kept, rng, spreads) for _ in range(n_samples)])
    size = np.sqrt(((samples - samples.mean(1, keepdims=True)) ** 2).sum(-1).mean(1))
    return samples * ((size / size.mean()) ** (SIZE_KEPT - 1))[:, None, None]


def principal_components(samples: np.ndarray, n_components: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean (K, 3), components (n, K, 3) each one standard deviation long, and the share of variance they hold.

    The sign of a component is such that its largest displacement along an axis is positive.
    """
    flat = samples.reshape(len(samples), -1)
    mean = flat.mean(0)
    centred = flat - mean
    values, vectors = np.linalg.eigh(centred @ centred.T / (len(samples) - 1))
    values, vectors = values[::-1][:n_components], vectors[:, ::-1][:, :n_components]
    components = (centred.T @ vectors / np.sqrt(len(samples) - 1)).T
    components *= np.sign(components[np.arange(n_components), np.abs(components).argmax(1)])[:, None]
    share = float(values.sum() / (centred**2).sum() * (len(samples) - 1))
    return mean.reshape(-1, 3), components.reshape(n_components, -1, 3), share
