"""Settings of a training in a TOML file: what a codec is made of and how it is trained.

    [codec]         stride = 4, quantiser = "rvq", ...      (`CodecConfig`)
    [codec.face]    width = 192, codebooks = 4, ...         (`StreamConfig`)
    [codec.head]
    [train]         steps = 20000, loss = "geometry", ...   (`TrainOptions`)
    [losses]        lips = 0.5, ...                         (`LossWeights`)
    [augmentation]  mirror = 0.5, ...                       (`Augmentation`)

What a file does not tell stays as it is.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from tdmm.errors import TokensError
from tdmm.vq.augment import Augmentation
from tdmm.vq.config import PRESETS, CodecConfig, StreamConfig
from tdmm.vq.losses import LossWeights
from tdmm.vq.train import TrainOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Nested settings have tables of their own.
_NESTED = {"codec": ("face", "head"), "train": ("weights", "augmentation")}
_TABLES: dict[str, Any] = {
    "codec": CodecConfig,
    "codec.face": StreamConfig,
    "codec.head": StreamConfig,
    "train": TrainOptions,
    "losses": LossWeights,
    "augmentation": Augmentation,
}
_KINDS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,)}
_WORDS = {"int": "a whole number", "float": "a number", "str": "text"}


@dataclass(frozen=True)
class Settings:
    """What was said of a training, by table: `codec`, `codec.face`, `codec.head`, `train`, `losses`, `augmentation`."""

    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def also(self, table: str, **values: Any) -> Settings:
        """With these values too, which count for more than what was said before; those that are None are not said."""
        said = {name: value for name, value in values.items() if value is not None}
        return Settings({**self.tables, table: {**self.tables.get(table, {}), **said}})

    def says(self, table: str, name: str) -> bool:
        return name in self.tables.get(table, {})

    def codec(self, base: str | CodecConfig) -> CodecConfig:
        """The base, or the preset of this name, but for what was said. Raises `TokensError` for settings that are
        none."""
        if isinstance(base, str):
            if base not in PRESETS:
                raise TokensError(f"preset: expected one of {', '.join(PRESETS)}, found {base!r}")
            base = PRESETS[base]
        streams = {
            name: replace(getattr(base, name), **self.tables.get(f"codec.{name}", {})) for name in ("face", "head")
        }
        return replace(base, **streams, **self.tables.get("codec", {}))

    def options(self) -> TrainOptions:
        """Raises `TokensError` for settings that are none."""
        return TrainOptions(
            weights=LossWeights(**self.tables.get("losses", {})),
            augmentation=Augmentation(**self.tables.get("augmentation", {})),
            **self.tables.get("train", {}),
        )


def read_settings(path: str | Path) -> Settings:
    """The settings of a file. Raises `TokensError` that names the file and the key that is wrong."""
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TokensError(f"{path}: there is no such file") from None
    except OSError as error:
        raise TokensError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise TokensError(f"{path}: expected TOML ({error})") from error
    tables: dict[str, dict[str, Any]] = {}
    for name, values in found.items():
        if name not in _TABLES or not isinstance(values, dict):
            known = ", ".join(f"[{table}]" for table in _TABLES)
            raise TokensError(f"{path}: {name}: expected the tables {known}")
        for below in _NESTED["codec"] if name == "codec" else ():
            if below in values:
                tables[f"codec.{below}"] = _checked(values.pop(below), f"codec.{below}", path)
        tables[name] = _checked(values, name, path)
    return Settings(tables)


def _checked(values: Any, table: str, path: str | Path) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise TokensError(f"{path}: {table}: expected a table, found {values!r}")
    kinds = {item.name: str(item.type) for item in fields(_TABLES[table]) if item.name not in _NESTED.get(table, ())}
    found = {}
    for name, value in values.items():
        if name not in kinds:
            raise TokensError(f"{path}: [{table}]: there is no setting {name}; there are {', '.join(kinds)}")
        kind = kinds[name].partition(" ")[0]
        if type(value) not in _KINDS[kind]:
            raise TokensError(f"{path}: [{table}]: {name}: expected {_WORDS[kind]}, found {value!r}")
        if kind == "float" and not (math.isfinite(value) and value >= 0):
            raise TokensError(f"{path}: [{table}]: {name}: expected a number from 0 on, found {value!r}")
        found[name] = float(value) if kind == "float" else value
    return found
