"""Fits become what they are of: other motions stay, expressions alone change, and a known mixture is undone."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tdmm.errors import LmError, MissingPartError, MotionError
from tdmm.face import load_face_model
from tdmm.io.manifest import read_manifest
from tdmm.io.motion_file import read_motion
from tdmm.lm.fit_correction import ASSET, FitCorrection, read_fit_correction, save_fit_correction, seen_in
from tdmm.motion import FaceMotion
from tdmm.vq.columns import columns_for

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import measure_fit_correction as measuring


@pytest.fixture(scope="module")
def correction() -> FitCorrection:
    return FitCorrection.load()


@pytest.fixture(scope="module")
def motion(tiny_corpus) -> FaceMotion:
    clip = read_manifest(tiny_corpus / "manifest.jsonl")[0]
    return read_motion(f"{tiny_corpus}/{clip.motion}")


@pytest.fixture(scope="module")
def fit(motion) -> FaceMotion:
    return replace(motion, meta={"fit": {"frames": len(motion)}})


def test_of_the_built_in_head(correction):
    head = load_face_model()
    assert correction.expression_names == tuple(head.expression_names)
    assert correction.face_model_sha256 == head.sha256
    assert ASSET.stat().st_size <= 1_500_000


def test_what_is_no_fit_stays(correction, motion, fit):
    assert correction.of(motion) is motion
    animated = replace(fit, meta={**fit.meta, "animate": {}})
    assert correction.of(animated) is animated
    other = replace(fit, face_model_sha256="0" * 64)
    assert correction.of(other) is other
    assert correction.of(fit) is not fit


def test_expressions_alone_change_and_stay_in_bounds(correction, fit):
    before = fit.expression.copy()
    found = correction.of(fit)
    np.testing.assert_array_equal(fit.expression, before)
    assert (found.expression != before).any()
    assert found.expression.dtype == np.float32
    assert ((found.expression >= 0) & (found.expression <= 1)).all()
    for name in ("rotation", "translation", "shape", "timestamps", "valid"):
        np.testing.assert_array_equal(getattr(found, name), getattr(fit, name))
    assert found.meta == fit.meta


@pytest.mark.parametrize("frames", [1, 2, 30])
def test_any_length(correction, fit, frames):
    found = correction.of(fit[:frames])
    assert found.expression.shape == (frames, 52)
    assert np.isfinite(found.expression).all()


def test_any_rate(correction, fit):
    quick = fit.resample(60.0)
    found = correction.of(quick)
    assert len(found) == len(quick)
    assert found.fps == quick.fps
    slow = found.resample(25.0).expression
    np.testing.assert_allclose(slow[:-3], correction.of(fit).expression[: len(slow) - 3], atol=0.1)
    with pytest.raises(MotionError, match="25 frames a second"):
        correction.apply(quick)


def test_a_correction_comes_back_from_its_file(correction, fit, tmp_path):
    path = tmp_path / "correction.safetensors"
    save_fit_correction(correction, path)
    again = read_fit_correction(path)
    assert again.made == correction.made
    np.testing.assert_array_equal(again.of(fit).expression, correction.of(fit).expression)


def test_other_files_are_told(tmp_path):
    with pytest.raises(MissingPartError, match=r"measure_fit_correction\.py"):
        read_fit_correction(tmp_path / "none.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(LmError, match="no safetensors file"):
        read_fit_correction(tmp_path / "torn.safetensors")
    with pytest.raises(LmError, match=r"schema: expected tdmm\.fit_correction/1"):
        read_fit_correction(ASSET.with_name("fit_noise.safetensors"))


def test_a_known_mixture_is_undone(motion, monkeypatch):
    monkeypatch.setattr(measuring, "CLIP_CENTRES", 10)
    monkeypatch.setattr(measuring, "FRAME_CENTRES", 10)
    model = load_face_model()
    columns = columns_for(model)
    random = np.random.default_rng(0)
    mixing = 0.6 * np.eye(52) + 0.05 * random.random((52, 52))
    pairs = []
    for number in range(70):
        knots = random.random((6, 52)) ** 3
        true = np.stack([np.interp(np.linspace(0, 5, 60), np.arange(6), one) for one in knots.T], axis=1)
        fit = replace(motion[:60], expression=(true @ mixing / 2).astype(np.float32))
        pairs.append(measuring.Pair(str(number), true.astype(np.float32), seen_in(fit), fit.rotation, fit))
    found = measuring.measure(pairs[:60], columns, model.sha256, seed=0)
    before = np.mean([((pair.fit.expression - pair.true) ** 2).mean() for pair in pairs[60:]])
    after = np.mean([((found.apply(pair.fit).expression - pair.true) ** 2).mean() for pair in pairs[60:]])
    assert after < before / 3
    again = measuring.measure(pairs[:60], columns, model.sha256, seed=0)
    np.testing.assert_array_equal(again.clip_weights, found.clip_weights)
