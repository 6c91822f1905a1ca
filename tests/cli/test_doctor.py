"""`tdmm doctor`: what is there, and the line that mends what is not."""

from __future__ import annotations

import shutil

from tdmm.cli import doctor


def test_all_is_well_here(tdmm):
    outcome = tdmm("doctor", "--json")
    report = outcome.json
    assert (outcome.code, report["ok"]) == (0, True), report
    found = {finding["what"]: finding for finding in report["findings"]}
    assert {"python", "numpy", "torch", "ffmpeg", "mediapipe", "built-in head", "gpu", "numba cache"} <= set(found)
    assert {"codec", "train vq", "transformers", "language model"} <= set(found)
    assert found["mediapipe"]["found"].startswith("0.10.21")
    assert "libx264" in found["ffmpeg"]["found"]


def test_something_broken_is_told_with_the_line_that_mends_it(tdmm, monkeypatch):
    broken = doctor.Finding("mediapipe", "broken", "libGL.so.1: cannot open", "apt-get install -y libgl1 libglib2.0-0")
    monkeypatch.setattr(doctor, "_CHECKS", (doctor.check_python, lambda: [broken]))
    outcome = tdmm("doctor")
    assert outcome.code == 1
    assert "BROKEN   mediapipe" in outcome.text
    assert "-> apt-get install -y libgl1 libglib2.0-0" in outcome.text
    assert "mediapipe" in outcome.error_line


def test_a_missing_library_is_recognised(monkeypatch):
    """As python -c 'import cv2' fails on a machine without libGL."""
    import subprocess

    def fail(command, **options):
        text = "Traceback ...\nImportError: libGL.so.1: cannot open shared object file: No such file or directory\n"
        return subprocess.CompletedProcess(command, 1, "", text)

    monkeypatch.setattr(doctor.subprocess, "run", fail)
    (finding,) = doctor.check_mediapipe()
    assert finding.state == "broken"
    assert finding.mend == "apt-get install -y libgl1 libglib2.0-0"


def test_whether_fit_reads_pictures_is_told(monkeypatch):
    from tdmm.fit import prior

    monkeypatch.setattr(prior, "has_prior", lambda: False)
    (finding,) = doctor.check_prior()
    assert finding.state == "optional"
    assert "landmarks alone" in finding.found
    monkeypatch.setattr(prior, "has_prior", lambda: True)
    (finding,) = doctor.check_prior()
    assert finding.state == "ok"


def test_whether_there_is_a_codec_is_told(monkeypatch, tmp_path, tiny_codec_folder):
    from tdmm.vq import codec

    place = tmp_path / "vq"
    monkeypatch.setattr(codec, "ASSET", place)
    finding = doctor.check_codec()[0]
    assert (finding.what, finding.state) == ("codec", "optional")
    assert "--codec DIR" in finding.found
    shutil.copytree(tiny_codec_folder, place)
    finding = doctor.check_codec()[0]
    assert finding.state == "ok"
    assert finding.found == f"{codec.load_codec(place).fingerprint}, 25 tokens a second of tdmm-head-1"
    (place / "model.safetensors").unlink()
    finding = doctor.check_codec()[0]
    assert (finding.state, "there is no model.safetensors" in finding.found) == ("broken", True)
    assert finding.mend


def test_whether_codecs_can_be_trained_is_told(monkeypatch):
    finding = doctor.check_codec()[-1]
    assert (finding.what, finding.state) == ("train vq", "ok")
    real = doctor.importlib.util.find_spec
    monkeypatch.setattr(
        doctor.importlib.util, "find_spec", lambda name: None if name == "vector_quantize_pytorch" else real(name)
    )
    finding = doctor.check_codec()[-1]
    assert finding.state == "optional"
    assert "needs vector-quantize-pytorch: pip install 'tdmm[train]'" in finding.found


def test_a_package_that_is_not_installed(monkeypatch):
    def version(name):
        if name == "numba":
            raise doctor.metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor.metadata, "version", version)
    states = {finding.what: (finding.state, finding.mend) for finding in doctor.check_packages()}
    assert states["numba"] == ("broken", "pip install numba")
    assert states["torch"] == ("ok", "")


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    (finding,) = doctor.check_numba_cache()
    assert finding.state == "ok"
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    (finding,) = doctor.check_numba_cache()
    assert finding.state == "optional"
    assert "NUMBA_CACHE_DIR" in finding.mend
