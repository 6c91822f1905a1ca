"""Laws of FaceMotion: time, rotations, and everything that it must refuse."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from tdmm.errors import MotionError, TdmmError
from tdmm.motion import (
    DEFAULT_TRANSLATION,
    concatenate,
    default_camera,
    make_motion,
    quaternion_to_rotvec,
    rotvec_to_quaternion,
    slerp,
)

ROTATIONS = ("rotation", "neck_pose", "jaw_pose", "eyes_pose")
# Each new frame of a resampled motion is computed in float64 and stored in float32.
FLOAT32 = 2e-6


def random_motion(seed=0, n_frames=9, fps=25.0, n_expressions=4, even=True, angle=1.0):
    random = np.random.default_rng(seed)
    steps = np.ones(n_frames) if even else random.uniform(0.3, 2.5, n_frames)
    timestamps = random.uniform(0, 100) + (np.cumsum(steps) - steps[0]) / fps
    return make_motion(
        random.uniform(0, 1, (n_frames, n_expressions)),
        [f"name{i}" for i in range(n_expressions)],
        face_model="test",
        face_model_sha256="0" * 64,
        fps=fps,
        timestamps=timestamps,
        shape=random.normal(size=5),
        valid=random.uniform(size=n_frames) > 0.3,
        confidence=random.uniform(0, 1, n_frames),
        translation=random.normal(size=(n_frames, 3)),
        **{
            name: random.uniform(-angle, angle, (n_frames, 6 if name == "eyes_pose" else 3)) / np.sqrt(3)
            for name in ROTATIONS
        },
        text="text",
        meta={"source": "clip.mp4", "nested": [1, 2.5, None]},
        expression_confidence=random.uniform(0, 1, (n_frames, n_expressions)) if seed % 2 else None,
    )


motions = st.builds(
    random_motion,
    seed=st.integers(0, 2**32 - 1),
    n_frames=st.integers(1, 12),
    fps=st.sampled_from([1.0, 12.5, 23.976, 25.0, 29.97, 30.0, 60.0, 240.0]),
    n_expressions=st.integers(0, 3),
    even=st.booleans(),
)


def as_matrices(rotvec):
    return Rotation.from_rotvec(np.asarray(rotvec, np.float64).reshape(-1, 3)).as_matrix()


def angle_between(first, second):
    """Radians between two axis-angle rotations (..., 3), by scipy."""
    first, second = (Rotation.from_rotvec(np.asarray(r, np.float64).reshape(-1, 3)) for r in (first, second))
    return (first.inv() * second).magnitude()


# -- slices and concatenation -------------------------------------------------------------------------


@given(motions, st.data())
@settings(max_examples=60, deadline=None)
def test_a_motion_cut_in_pieces_and_joined_again_is_the_same(motion, data):
    # Uneven timestamps too, as long as no gap is wider than one and a half frames.
    if len(motion) > 1 and np.abs(np.diff(motion.timestamps) * motion.fps - 1).max() > 0.49:
        motion = replace(motion, timestamps=motion.timestamps[0] + np.arange(len(motion)) / motion.fps)
    cuts = sorted(data.draw(st.sets(st.integers(1, max(len(motion) - 1, 1)), max_size=4)))
    edges = [0, *[cut for cut in cuts if cut < len(motion)], len(motion)]
    pieces = [motion[a:b] for a, b in pairwise(edges)]
    assert sum(len(piece) for piece in pieces) == len(motion)
    assert concatenate(pieces) == motion


@given(motions)
@settings(max_examples=30, deadline=None)
def test_concatenation_is_associative_and_keeps_every_frame(motion):
    twice = concatenate([motion, motion])
    assert len(twice) == 2 * len(motion)
    assert twice[: len(motion)] == motion
    np.testing.assert_array_equal(twice.expression[len(motion) :], motion.expression)
    np.testing.assert_allclose(twice.timestamps[len(motion)] - motion.timestamps[-1], 1 / motion.fps, rtol=1e-9)
    left, right = concatenate([twice, motion]), concatenate([motion, twice])
    np.testing.assert_array_equal(left.expression, right.expression)
    np.testing.assert_allclose(left.timestamps, right.timestamps, rtol=0, atol=1e-9)


def test_slices():
    motion = random_motion(n_frames=10)
    assert motion[:] == motion
    assert len(motion[3:7]) == 4
    assert motion[-3:] == motion[7:10]
    assert motion[2:8][1:4] == motion[3:6]
    np.testing.assert_array_equal(motion[3:7].timestamps, motion.timestamps[3:7])
    assert motion[3:7].meta == motion.meta
    with pytest.raises(MotionError, match="hold no frame"):
        motion[5:5]
    with pytest.raises(MotionError, match="resample"):
        motion[::2]
    with pytest.raises(TypeError, match="sliced by frames"):
        motion[3]


def test_concatenate_names_the_field_that_differs():
    motion = random_motion()
    for name, value in {
        "face_model": "other",
        "face_model_sha256": "1" * 64,
        "fps": 30.0,
        "expression_names": ("a", "b", "c", "d"),
        "shape": np.zeros(3, np.float32),
        "camera": default_camera((100, 100)),
        "image_size": (100, 100),
    }.items():
        with pytest.raises(MotionError, match=f"part 2 has another {name} "):
            concatenate([motion, replace(motion, **{name: value})])
    with pytest.raises(MotionError, match="nothing to concatenate"):
        concatenate([])


# -- resampling ---------------------------------------------------------------------------------------


@given(motions)
@settings(max_examples=40, deadline=None)
def test_resampling_to_the_same_rate_changes_nothing(motion):
    evenly = replace(motion, timestamps=motion.timestamps[0] + np.arange(len(motion)) / motion.fps)
    assert evenly.resample(motion.fps) == evenly
    # Uneven: once resampled, it is even, so that a second time changes nothing.
    once = motion.resample(motion.fps)
    assert once.resample(motion.fps) == once


@given(motions, st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_resampling_up_and_back_gives_the_same_frames(motion, factor):
    motion = replace(motion, timestamps=motion.timestamps[0] + np.arange(len(motion)) / motion.fps)
    up = motion.resample(motion.fps * factor)
    assert len(up) == (len(motion) - 1) * factor + 1
    # The old frames are among the new ones, untouched.
    np.testing.assert_array_equal(up.expression[::factor], motion.expression)
    np.testing.assert_array_equal(up.rotation[::factor], motion.rotation)
    np.testing.assert_array_equal(up.valid[::factor], motion.valid)
    back = up.resample(motion.fps)
    np.testing.assert_allclose(back.timestamps, motion.timestamps, rtol=0, atol=1e-9)
    assert replace(back, timestamps=motion.timestamps, fps=motion.fps) == motion


@given(motions, st.sampled_from([5.0, 25.0, 30.0, 59.94]))
@settings(max_examples=60, deadline=None)
def test_resampled_values_are_interpolated_in_time(motion, fps):
    """Against numpy.interp and scipy's Slerp, uneven timestamps included."""
    from scipy.spatial.transform import Slerp

    made = motion.resample(fps)
    assert made.fps == fps
    np.testing.assert_allclose(np.diff(made.timestamps), 1 / fps, rtol=1e-6)
    assert made.timestamps[0] == motion.timestamps[0]
    assert made.timestamps[-1] <= motion.timestamps[-1] + 1e-6 / fps
    assert made.timestamps[-1] + 1 / fps > motion.timestamps[-1]
    times = np.minimum(made.timestamps, motion.timestamps[-1])
    for name in ("expression", "translation", "confidence"):
        before, after = getattr(motion, name), getattr(made, name)
        for column in range(before.reshape(len(motion), -1).shape[1]):
            expected = np.interp(times, motion.timestamps, before.reshape(len(motion), -1)[:, column])
            np.testing.assert_allclose(after.reshape(len(made), -1)[:, column], expected, atol=FLOAT32 * 4)
    if len(motion) > 1:
        for name in ROTATIONS:
            for joint in range(getattr(motion, name).shape[1] // 3):
                columns = slice(3 * joint, 3 * joint + 3)
                reference = Slerp(motion.timestamps, Rotation.from_rotvec(getattr(motion, name)[:, columns]))
                expected = reference(np.clip(times, *motion.timestamps[[0, -1]])).as_rotvec()
                assert angle_between(expected, getattr(made, name)[:, columns]).max() < 1e-5


@given(motions, st.sampled_from([10.0, 30.0, 100.0]))
@settings(max_examples=60, deadline=None)
def test_a_resampled_frame_is_valid_when_all_that_it_mixes_is(motion, fps):
    made = motion.resample(fps)
    if len(made) == len(motion) and np.allclose(made.timestamps, motion.timestamps, rtol=0, atol=1e-6):
        np.testing.assert_array_equal(made.valid, motion.valid)
        return
    for time, valid in zip(made.timestamps, made.valid, strict=True):
        # The slow way: the frames at that very time, or its two neighbours.
        here = np.abs(motion.timestamps - time) < 1e-6 * np.diff(motion.timestamps, append=np.inf).min()
        if not here.any():
            after = int(np.searchsorted(motion.timestamps, time))
            here = np.zeros(len(motion), bool)
            here[[after - 1, min(after, len(motion) - 1)]] = True
        assert valid == motion.valid[here].all()


@given(motions, st.lists(st.floats(0, 1), min_size=1, max_size=5, unique=True))
@settings(max_examples=40, deadline=None)
def test_a_motion_at_given_times(motion, shares):
    begin, end = motion.timestamps[[0, -1]]
    times = np.unique(begin + np.sort(shares) * (end - begin))
    made = motion.at(times, 7.0)
    assert (made.fps, made.text, made.meta) == (7.0, motion.text, motion.meta)
    np.testing.assert_array_equal(made.timestamps, times)
    right = np.minimum(np.searchsorted(motion.timestamps, times), len(motion) - 1)
    left = np.maximum(right - 1, 0)
    for column in range(motion.expression.shape[1]):
        curve = np.interp(times, motion.timestamps, motion.expression[:, column])
        np.testing.assert_allclose(made.expression[:, column], curve, rtol=0, atol=2e-6)
    assert not (made.valid & ~(motion.valid[left] | motion.valid[right])).any()
    # On the way from one to the other.
    way = angle_between(motion.rotation[left], motion.rotation[right])
    there = angle_between(motion.rotation[left], made.rotation) + angle_between(made.rotation, motion.rotation[right])
    np.testing.assert_allclose(there, way, rtol=0, atol=1e-5)


def test_a_motion_at_the_times_of_its_frames_is_itself():
    motion = random_motion(3, even=False)
    assert motion.at(motion.timestamps, motion.fps) == motion
    assert motion.at(motion.timestamps[2:5], motion.fps) == motion[2:5]
    late = replace(motion, timestamps=motion.timestamps + 1.7e9)  # seconds since 1970
    assert len(late.resample(30.0)) == len(motion.resample(30.0))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([-0.1], r"times: expected seconds within 0\.\.0\.04"),
        ([0.0, 0.05], "times: expected seconds within"),
        ([0.04, 0.0], "strictly increasing"),
        ([], "at least one frame"),
        ([np.nan], "times: expected finite numbers"),
        (0.0, "times: expected 1 axes"),
    ],
)
def test_times_that_a_motion_does_not_have_are_refused(times, message):
    motion = make_motion(np.zeros((2, 1)), ["jawOpen"], face_model="m", face_model_sha256="")
    with pytest.raises(MotionError, match=message):
        motion.at(np.array(times, float), 25.0)


def test_a_single_frame():
    motion = random_motion(n_frames=1, fps=30.0)
    assert motion.duration == pytest.approx(1 / 30)
    for fps in (1.0, 25.0, 1000.0):
        made = motion.resample(fps)
        assert len(made) == 1
        assert made.fps == fps
        assert replace(made, fps=30.0) == motion
    assert len(concatenate([motion] * 3)) == 3


def test_duration_runs_to_the_end_of_the_last_frame():
    motion = random_motion(n_frames=50, fps=25.0)
    assert motion.duration == pytest.approx(2.0)
    assert motion.resample(60.0).duration == pytest.approx(2.0 - 1 / 25 + 1 / 60, abs=1 / 60)


@pytest.mark.parametrize("fps", [0, -1, np.nan, np.inf, "fast", None])
def test_resample_refuses_a_rate_that_is_none(fps):
    with pytest.raises(MotionError, match="fps: expected a positive number"):
        random_motion().resample(fps)


# -- rotations ----------------------------------------------------------------------------------------

# From no rotation at all, over the tiny ones where series take over, to half a turn and beyond.
angles = st.one_of(
    st.sampled_from([0.0, 1e-300, 1e-12, 1e-8, 1e-6, 1e-4, np.pi / 2, np.pi - 1e-9, np.pi, np.pi + 1e-9, 2 * np.pi, 7]),
    st.floats(0, 2 * np.pi),
)
axes = hnp.arrays(np.float64, 3, elements=st.floats(-1, 1, width=16)).filter(lambda a: np.linalg.norm(a) > 1e-2)
rotvecs = st.builds(lambda axis, angle: axis / np.linalg.norm(axis) * angle, axes, angles)


@given(rotvecs)
def test_quaternions_agree_with_scipy_and_come_back(rotvec):
    quaternion = rotvec_to_quaternion(rotvec)
    assert np.linalg.norm(quaternion) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(Rotation.from_quat(quaternion).as_matrix(), as_matrices(rotvec)[0], atol=1e-12)
    back = quaternion_to_rotvec(quaternion)
    assert np.linalg.norm(back) <= np.pi + 1e-12
    np.testing.assert_allclose(as_matrices(back), as_matrices(rotvec), atol=1e-12)
    # q and -q are one rotation.
    np.testing.assert_allclose(as_matrices(quaternion_to_rotvec(-quaternion)), as_matrices(rotvec), atol=1e-12)


@given(rotvecs, rotvecs, st.floats(0, 1))
def test_slerp_moves_at_constant_speed_along_the_shorter_way(first, second, weight):
    total = angle_between(first, second)[0]
    middle = slerp(first, second, np.array(weight))
    assert np.isfinite(middle).all()
    # The accuracy of arccos-free angles in float64; scipy's own product has some 1e-15 of noise.
    assert angle_between(first, middle)[0] == pytest.approx(weight * total, abs=1e-7)
    assert angle_between(middle, second)[0] == pytest.approx((1 - weight) * total, abs=1e-7)


@given(rotvecs, rotvecs, st.floats(0, 1))
def test_slerp_is_symmetric_and_keeps_its_ends(first, second, weight):
    np.testing.assert_array_equal(slerp(first, second, np.array(0.0)), first)
    np.testing.assert_array_equal(slerp(first, second, np.array(1.0)), second)
    # Exactly opposite rotations have two shortest ways; there the direction is a matter of rounding.
    if angle_between(first, second)[0] < np.pi - 1e-6:
        there, back = slerp(first, second, np.array(weight)), slerp(second, first, np.array(1 - weight))
        assert angle_between(there, back)[0] < 1e-7


@given(rotvecs, rotvecs, rotvecs, st.floats(0, 1))
def test_slerp_is_equivariant(first, second, turn, weight):
    """Turning both ends turns everything between them."""
    if angle_between(first, second)[0] > np.pi - 1e-4:
        return
    turned = [(Rotation.from_rotvec(turn) * Rotation.from_rotvec(r)).as_rotvec() for r in (first, second)]
    expected = Rotation.from_rotvec(turn) * Rotation.from_rotvec(slerp(first, second, np.array(weight)))
    # 1e-4 from opposite, errors of 1e-16 in the ends grow by 1e4 at most.
    assert angle_between(expected.as_rotvec(), slerp(*turned, np.array(weight)))[0] < 1e-7


def test_slerp_across_half_a_turn_takes_the_short_way():
    first, second = np.array([0, np.pi - 0.1, 0]), np.array([0, -np.pi + 0.1, 0])
    middle = slerp(first, second, np.array(0.5))
    assert np.linalg.norm(middle) == pytest.approx(np.pi)
    assert angle_between(first, middle)[0] == pytest.approx(0.1)


def test_slerp_takes_any_batch():
    random = np.random.default_rng(0)
    first, second, weight = random.normal(size=(4, 5, 3)), random.normal(size=(4, 5, 3)), random.uniform(size=(4, 5))
    batch = slerp(first, second, weight)
    for index in np.ndindex(4, 5):
        np.testing.assert_allclose(batch[index], slerp(first[index], second[index], weight[index]), atol=1e-14)


# -- equality, columns, defaults ----------------------------------------------------------------------


def test_equality_sees_every_field():
    motion = random_motion()
    assert motion == replace(motion)
    assert motion != "a motion"
    for name in ("expression", "shape", *ROTATIONS, "translation", "timestamps", "confidence"):
        changed = getattr(motion, name).copy()
        changed.flat[-1] = np.nextafter(changed.flat[-1], changed.dtype.type(0))
        assert motion != replace(motion, **{name: changed}), name
    for name, value in {
        "face_model": "other",
        "face_model_sha256": "1",
        "fps": 25.5,
        "expression_names": ("w", "x", "y", "z"),
        "shape": motion.shape[:-1],
        "camera": default_camera((64, 64)),
        "image_size": (64, 64),
        "valid": ~motion.valid,
        "text": "other",
        "meta": {},
    }.items():
        assert motion != replace(motion, **{name: value}), name
    with pytest.raises(TypeError, match="unhashable"):
        hash(motion)


def test_columns_by_name_and_the_check_of_the_face_model():
    motion = random_motion()
    np.testing.assert_array_equal(motion.expression_column("name2"), motion.expression[:, 2])
    with pytest.raises(MotionError, match="no expression 'jawOpen' in this motion of test"):
        motion.expression_column("jawOpen")
    motion.check_face_model("whatever it is called", "0" * 64)
    with pytest.raises(MotionError, match=r"face model test \(000000000000\), not with flame-2023 \(ffffffffffff\)"):
        motion.check_face_model("flame-2023", "f" * 64)


def test_confidence_of_expressions_goes_along_or_is_not_told():
    told, untold = random_motion(seed=1), random_motion(seed=2)
    assert untold.expression_confidence is None
    assert told.expression_confidence.dtype == np.float32
    assert told != replace(told, expression_confidence=None)
    assert replace(told, expression_confidence=None) != told
    np.testing.assert_array_equal(told[2:5].expression_confidence, told.expression_confidence[2:5])
    np.testing.assert_array_equal(told.resample(50.0).expression_confidence[::2], told.expression_confidence)
    assert concatenate([told, replace(told, expression_confidence=None)]).expression_confidence is None
    np.testing.assert_array_equal(
        concatenate([told, told]).expression_confidence, np.tile(told.expression_confidence, (2, 1))
    )
    for wrong in (np.full((9, 4), 1.01), np.zeros((9, 3)), np.full((9, 4), np.nan)):
        with pytest.raises(MotionError, match="expression_confidence: expected"):
            replace(told, expression_confidence=wrong)


def test_make_motion_is_at_rest():
    motion = make_motion(np.zeros((3, 2)), ["a", "b"], face_model="m", face_model_sha256="s", image_size=(480, 640))
    assert motion.valid.all()
    assert motion.confidence.min() == 1
    for name in ROTATIONS:
        assert not getattr(motion, name).any()
    np.testing.assert_array_equal(motion.translation, np.tile(np.float32(DEFAULT_TRANSLATION), (3, 1)))
    np.testing.assert_allclose(motion.timestamps, [0, 0.04, 0.08])
    np.testing.assert_array_equal(motion.camera, default_camera((480, 640)))
    assert motion.camera[0, 2] == 320
    assert motion.camera[1, 2] == 240


def test_arrays_become_the_dtypes_of_the_schema():
    motion = random_motion()
    for name in ("expression", "shape", *ROTATIONS, "translation", "confidence"):
        assert getattr(replace(motion, **{name: getattr(motion, name).astype(np.float64)}), name).dtype == np.float32
    assert replace(motion, timestamps=np.arange(9)).timestamps.dtype == np.float64
    assert replace(motion, meta={1: (2, 3)}).meta == {"1": [2, 3]}


# -- refusals -----------------------------------------------------------------------------------------


def bad(name, index, value):
    """The field of a good motion with one bad number in it."""
    changed = getattr(random_motion(), name).copy()
    changed[index] = value
    return {name: changed}


REFUSED = {
    "face_model": ({"face_model": None}, "face_model: expected text, found NoneType"),
    "sha256": ({"face_model_sha256": b"00"}, "face_model_sha256: expected text, found bytes"),
    "text": ({"text": 3}, "text: expected text, found int"),
    "nul": ({"text": "a\0"}, "text: expected text without NUL"),
    "nul in a name": ({"expression_names": ("a", "b", "c", "d\0")}, "expression_names: expected text without NUL"),
    "fps 0": ({"fps": 0}, "fps: expected a positive number, found 0.0"),
    "fps nan": ({"fps": np.nan}, "fps: expected a positive number, found nan"),
    "fps text": ({"fps": "x"}, "fps: expected a positive number, found 'x'"),
    "names one text": ({"expression_names": "abcd"}, "expression_names: expected several names, found the text 'abcd'"),
    "names numbers": ({"expression_names": (1, 2, 3, 4)}, "expression_names: expected text, found int"),
    "names twice": ({"expression_names": ("a", "b", "a", "c")}, "expression_names: expected unique names"),
    "too few names": ({"expression_names": ("a", "b")}, "expression: expected 2 columns, .* found 4"),
    "no frame": ({"expression": np.zeros((0, 4))}, "expression: expected at least one frame, found none"),
    "one axis": ({"expression": np.zeros(4)}, r"expression: expected 2 axes, found \(4,\)"),
    "ragged": ({"expression": [[1, 2], [3]]}, "expression: expected an array, found"),
    "texts": ({"expression": [["a"]]}, "expression: expected float32 numbers, found <U1"),
    "objects": ({"expression": np.array([[None] * 4])}, "expression: expected float32 numbers, found object"),
    "complex": ({"shape": np.zeros(3, complex)}, "shape: expected float32 numbers, found complex128"),
    "bool numbers": ({"shape": np.zeros(3, bool)}, "shape: expected float32 numbers, found bool"),
    "nan": (
        bad("expression", (2, 1), np.nan),
        r"expression: expected finite numbers, found nan at \[2, 1\] \(1 in all\)",
    ),
    "inf": (bad("translation", (0, 0), -np.inf), r"translation: expected finite numbers, found -inf at \[0, 0\]"),
    "too large": ({"shape": np.array([1e300])}, "shape: expected finite numbers, found inf"),
    "other frames": ({"rotation": np.zeros((8, 3))}, r"rotation: expected \(9, 3\), found \(8, 3\)"),
    "quaternions": ({"neck_pose": np.zeros((9, 4))}, r"neck_pose: expected \(9, 3\), found \(9, 4\)"),
    "one eye": ({"eyes_pose": np.zeros((9, 3))}, r"eyes_pose: expected \(9, 6\), found \(9, 3\)"),
    "jaw": ({"jaw_pose": np.zeros(9)}, r"jaw_pose: expected \(9, 3\), found \(9,\)"),
    "camera 3x4": ({"camera": np.zeros((3, 4))}, r"camera: expected \(3, 3\), found \(3, 4\)"),
    "camera zero": ({"camera": np.diag([0.0, 1, 1])}, "camera: expected positive focal lengths"),
    "camera row": ({"camera": np.eye(3) * 2}, r"camera: expected the last row 0 0 1, found \[0.0, 0.0, 2.0\]"),
    "size zero": ({"image_size": (0, 5)}, r"image_size: expected \(height, width\) in pixels, found \[0, 5\]"),
    "size float": ({"image_size": (5.5, 5)}, "image_size: expected"),
    "size three": ({"image_size": (5, 5, 3)}, "image_size: expected"),
    "size ragged": ({"image_size": ((5, 5), 3)}, "image_size: expected"),
    "valid numbers": ({"valid": np.ones(9)}, r"valid: expected bool \(9,\), found float64 \(9,\)"),
    "valid length": ({"valid": np.ones(8, bool)}, r"valid: expected bool \(9,\), found bool \(8,\)"),
    "confidence 1.1": (bad("confidence", 3, 1.1), r"confidence: expected values in 0\.\.1"),
    "confidence < 0": (bad("confidence", 3, -0.1), r"confidence: expected values in 0\.\.1"),
    "time stands": ({"timestamps": np.zeros(9)}, "timestamps: expected strictly increasing"),
    "time runs back": ({"timestamps": -np.arange(9.0)}, "timestamps: expected strictly increasing"),
    "meta list": ({"meta": [1]}, "meta: expected a JSON object, found list"),
    "meta array": ({"meta": {"a": np.zeros(3)}}, "meta: expected a JSON object, found Object of type ndarray"),
    "meta nan": ({"meta": {"a": float("nan")}}, "meta: expected a JSON object, found"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_broken_motion_is_refused_with_its_key_and_what_was_found(case):
    change, message = REFUSED[case]
    with pytest.raises(MotionError, match=message) as caught:
        replace(random_motion(), **change)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, TdmmError)


@pytest.mark.parametrize("change", [{"fps": 0}, {"fps": "x"}, {"image_size": (1, 2, 3)}, {"image_size": (0, 0)}])
def test_make_motion_refuses_the_same(change):
    with pytest.raises(MotionError, match=f"^{next(iter(change))}: expected"):
        make_motion(np.zeros((3, 1)), ["a"], face_model="m", face_model_sha256="s", **change)
