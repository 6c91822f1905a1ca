"""The whole way from a video to a motion, on real pictures."""

import numpy as np
import pytest
from clips import clip, portrait

from tdmm.errors import NoFaceError
from tdmm.face import load_face_model
from tdmm.face.scheme import eye_opening
from tdmm.fit import FitOptions, fit_video
from tdmm.fit.detect import open_detector
from tdmm.fit.measure import reprojection
from tdmm.fit.observe import observe
from tdmm.io.video import write_video


@pytest.fixture(scope="module")
def head():
    return load_face_model()


@pytest.fixture(scope="module")
def detector():
    return open_detector()


def test_a_photograph_gives_a_motion_of_one_frame(tmp_path, head, detector):
    path = tmp_path / "face.png"
    write_video([portrait(300)], path, 25)
    motion = fit_video(path, detector=detector)
    assert len(motion) == 1
    assert motion.valid.all()
    assert motion.image_size == (300, 300)
    assert motion.confidence[0] > 0.5
    report = motion.meta["fit"]
    assert report["frames"] == report["valid"] == 1
    assert report["reprojection_percent"] < 2.0
    # She smiles at the camera, her head a little to her right.
    assert motion.expression_column("mouthSmileLeft")[0] > 0.2
    assert np.degrees(np.abs(motion.rotation[0])).max() < 40


def test_no_face_names_the_file(tmp_path, head, detector):
    path = tmp_path / "wall.mp4"
    write_video([np.full((64, 96, 3), 120, np.uint8)] * 3, path, 25)
    with pytest.raises(NoFaceError, match=r"wall\.mp4"):
        fit_video(path, detector=detector)


def test_the_video_keeps_its_rate_times_and_size(tmp_path, head, detector):
    path = tmp_path / "clip.mp4"
    picture = portrait(256)
    frames = [picture, picture, np.full_like(picture, 90), picture, picture, picture]
    write_video(frames, path, 12.5)
    stages = []
    motion = fit_video(path, detector=detector, progress=lambda *step: stages.append(step))
    assert motion.fps == 12.5
    np.testing.assert_allclose(motion.timestamps, np.arange(6) / 12.5, atol=1e-6)
    assert motion.image_size == (256, 256)
    np.testing.assert_array_equal(motion.valid, [True, True, False, True, True, True])
    assert motion.confidence[2] == 0
    assert {stage for stage, _, _ in stages} == {"detect", "solve"}
    done = [done for stage, done, total in stages if stage == "solve"]
    assert done == sorted(done)
    assert done[-1] == [total for stage, _, total in stages if stage == "solve"][-1]
    seconds = motion.meta["fit"]["seconds"]
    assert set(seconds) == {"decode", "detect", "solve", "total"}
    assert motion.meta["fit"]["detector"].startswith("mediapipe-facemesh 0.10")


def test_a_given_focal_length_is_kept(tmp_path, head, detector):
    path = tmp_path / "face.png"
    write_video([portrait(200)], path, 25)
    motion = fit_video(path, detector=detector, options=FitOptions(focal=321.0))
    assert motion.camera[0, 0] == pytest.approx(321.0, rel=1e-4)


def test_a_real_clip_with_a_gap(head, detector):
    motion = fit_video(clip("real_gap.mp4"), detector=detector)
    assert not motion.valid[95:115].any()
    assert motion.valid[:85].all()
    assert motion.valid[130:].all()
    assert (motion.confidence[~motion.valid] == 0).all()
    assert motion.meta["fit"]["reprojection_percent"] < 1.6


def test_a_real_blink_and_an_open_mouth_are_followed(head, detector):
    observations = observe(clip("real_open_mouth.mp4"), detector)
    motion = fit_video(clip("real_open_mouth.mp4"), detector=detector)
    opening = eye_opening(observations.points).mean(1)
    blink = (motion.expression_column("eyeBlinkLeft") + motion.expression_column("eyeBlinkRight")) / 2
    closed, open_ = opening < 0.12, opening > 0.25
    assert closed.any()
    assert blink[closed].min() > blink[open_].max()
    gap = np.linalg.norm(observations.points[:, 13] - observations.points[:, 14], axis=-1)
    # He also drops his jaw behind shut lips: what parts the lips is the jaw's opening less what closes them.
    parted = motion.expression_column("jawOpen") - motion.expression_column("mouthClose")
    assert np.corrcoef(gap, parted)[0, 1] > 0.9
    miss = reprojection(motion, head, observations.points, observations.seen)
    assert not np.isnan(miss).any()  # all 478 landmarks count
    assert miss.mean() == pytest.approx(motion.meta["fit"]["reprojection_percent"], abs=1e-3)
    assert miss.mean() < 1.6
