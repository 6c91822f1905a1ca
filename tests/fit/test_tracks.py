"""Several people in one video: who is who over gaps, and when one passes before the other."""

from __future__ import annotations

import numpy as np
import pytest
from clips import portrait
from PIL import Image

from tdmm.errors import NoFaceError
from tdmm.fit.detect import DetectorOptions, Landmarks, open_detector
from tdmm.fit.observe import observe, observe_all
from tdmm.fit.tracks import LONGEST_GAP, Tracks
from tdmm.io.video import write_video

FPS = 25


def person(seed: int) -> np.ndarray:
    """(478, 3) points of a made-up face of unit size: a bowl, with bumps that are its own."""
    x, y = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 478))
    face = np.stack([x, y, x**2 + y**2], axis=1)
    return face + 0.03 * np.random.default_rng(seed).standard_normal((478, 3))


def shown(face: np.ndarray, place, size: float = 100.0, yaw: float = 0.0, noise: float = 0.004, seed: int = 0):
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    points = (face + noise * np.random.default_rng(seed).standard_normal(face.shape)) @ turn.T * size
    return Landmarks((points + np.append(place, 0)).astype(np.float32), 0.9)


def run(frames) -> tuple[Tracks, list[list]]:
    tracks = Tracks()
    return tracks, [tracks.see(faces, number / FPS) for number, faces in enumerate(frames)]


def owners(tracks: Tracks, pieces, who) -> dict[int, set[str]]:
    """For each track the names of the people it holds, by `who`[frame][face]."""
    kept, _ = tracks.join()
    found: dict[int, set[str]] = {number: set() for number in range(len(kept))}
    for row, names in zip(pieces, who, strict=True):
        for piece, name in zip(row, names, strict=True):
            for number, track in enumerate(kept):
                if piece in track.pieces:
                    found[number].add(name)
    return found


def test_two_people_beside_each_other_are_two_tracks_the_larger_first():
    frames = [
        [shown(person(1), (100 + f, 100), 80, seed=f), shown(person(2), (400, 100 + f), 120, seed=99 + f)]
        for f in range(30)
    ]
    tracks, _ = run(frames[f][:: (-1) ** f] for f in range(30))  # in changing order
    kept, dropped = tracks.join()
    assert [len(track) for track in kept] == [30, 30]
    assert kept[0].area > 1.5 * kept[1].area
    assert dropped == []
    first_only, others = tracks.join(1)
    assert first_only == kept[:1]
    assert others == kept[1:]


# The detector tells two faces apart that overlap by less than half, here for all but six frames.
@pytest.mark.parametrize("hidden", [6, 15])
@pytest.mark.parametrize("bounce", [False, True])
def test_people_who_cross_stay_who_they_are(hidden, bounce):
    """They meet in the middle, where one hides the other for some frames; then they go on, or turn back."""
    frames, who = [], []
    for f in range(60):
        along = 6.0 * (f - 30)
        ways = {"a": -abs(along) if bounce else along, "b": abs(along) if bounce else -along}
        names = ["a", "b"] if abs(f - 30) >= hidden / 2 else ["a"]
        if f % 2:
            names = names[::-1]
        seeds = {"a": 1, "b": 2}
        frames.append(
            [shown(person(seeds[n]), (300 + ways[n], 200), yaw=0.3 * np.sin(f / 9), seed=7 * f) for n in names]
        )
        who.append(names)
    tracks, pieces = run(frames)
    found = owners(tracks, pieces, who)
    assert sorted(map(sorted, found.values())) == [["a"], ["b"]]
    assert sum(len(track) for track in tracks.join()[0]) == sum(map(len, frames))


def test_a_doubtful_piece_between_decides_nothing():
    """Two people meet and turn back; while one is hidden, what is found wanders from the one to the other."""
    a = person(1)
    b = 0.7 * a + 0.3 * person(2)  # as like each other as two real people are
    frames, who = [], []
    for f in range(70):
        apart = abs(f - 35)
        if apart > 7:
            names = ["a", "b"]
            shift = {"a": -6 * apart, "b": 6 * apart}
            frames.append([shown({"a": a, "b": b}[n], (300 + shift[n], 200), seed=f) for n in names])
        else:
            names = ["?"]
            frames.append([shown((a + b) / 2, (300 + 5 * (f - 35), 200), seed=f)])
        who.append(names)
    tracks, pieces = run(frames)
    found = owners(tracks, pieces, who)
    assert sorted(sorted(names - {"?"}) for names in found.values()) == [["a"], ["b"]]


def test_a_short_gap_is_bridged_and_a_long_one_is_not():
    for gap, expected in ((round(0.5 * LONGEST_GAP * FPS), 1), (round(2 * LONGEST_GAP * FPS), 2)):
        frames = [[shown(person(1), (100, 100), seed=f)] for f in range(40)]
        tracks, _ = run([*frames, *[[]] * gap, *frames])
        assert len(tracks.join()[0]) == expected


def test_another_person_in_the_same_place_is_another_track():
    frames = [[shown(person(1), (100, 100), seed=f)] for f in range(40)]
    others = [[shown(person(2), (100, 100), seed=f)] for f in range(40)]
    tracks, _ = run([*frames, *[[]] * 10, *others])
    assert len(tracks.join()[0]) == 2


def test_a_glimpse_is_dropped_and_told_but_a_short_clip_is_none():
    frames = [[shown(person(1), (100, 100), seed=f)] for f in range(50)]
    frames[20].append(shown(person(2), (400, 100)))
    tracks, _ = run(frames)
    kept, dropped = tracks.join()
    assert [len(track) for track in kept] == [50]
    assert [(track.first_time, len(track)) for track in dropped] == [(20 / FPS, 1)]
    tracks, _ = run(frames[20:21])
    assert [len(track) for track in tracks.join()[0]] == [1, 1]


def test_no_faces_no_tracks():
    assert run([[], []])[0].join() == ([], [])
    assert Tracks().join() == ([], [])


# -- from a video --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def detector():
    opened = open_detector(DetectorOptions(faces=None))
    yield opened
    opened.close()


def narrow(picture: np.ndarray) -> np.ndarray:
    """The mirror picture, stretched: somebody else."""
    side = len(picture)
    return np.asarray(Image.fromarray(picture[:, ::-1]).resize((round(0.85 * side), side)))


def two_people(n_frames: int, shift: float) -> list[np.ndarray]:
    """A large face that goes right and, behind it, a smaller one that goes left."""
    large, small = portrait(200), narrow(portrait(170))
    frames = []
    for f in range(n_frames):
        picture = np.full((220, 640, 3), 100, np.uint8)
        for face, left in ((small, round(430 - shift * f)), (large, round(20 + shift * f))):
            picture[10 : 10 + face.shape[0], left : left + face.shape[1]] = face
        frames.append(picture)
    return frames


def middle_of(observations) -> np.ndarray:
    return observations.points[observations.seen, :, 0].mean(1)


def test_two_faces_of_a_video_that_cross(tmp_path, detector):
    write_video(two_people(44, 9.0), tmp_path / "cross.mp4", FPS, crf=10)
    faces = observe_all(tmp_path / "cross.mp4", detector)
    assert len(faces.people) == 2
    front, behind = faces.people
    assert len(front.points) == len(behind.points) == 44
    assert front.seen.all()
    np.testing.assert_allclose(np.diff(middle_of(front)), 9.0, atol=2.0)
    assert 20 <= behind.seen.sum() < 44
    assert not behind.seen[20:25].any()
    assert behind.seen[-5:].all()
    np.testing.assert_allclose(middle_of(behind)[-1] - middle_of(behind)[0], -9.0 * 43, atol=12)


def test_the_first_of_several_is_what_following_one_gives(tmp_path, detector):
    write_video(two_people(6, 2.0), tmp_path / "two.mp4", FPS, crf=10)
    alone = open_detector()
    single = observe(tmp_path / "two.mp4", alone)
    alone.close()
    everybody = observe_all(tmp_path / "two.mp4", detector)
    np.testing.assert_array_equal(everybody.people[0].points, single.points)
    only = observe_all(tmp_path / "two.mp4", detector, most=1)
    assert len(only.people) == 1
    assert only.dropped == [(0.0, 6)]


def test_nobody_names_the_file(tmp_path, detector):
    write_video([np.full((64, 64, 3), 90, np.uint8)] * 2, tmp_path / "wall.mp4", FPS)
    with pytest.raises(NoFaceError, match=r"wall\.mp4"):
        observe_all(tmp_path / "wall.mp4", detector)


def test_a_face_that_comes_in_is_followed_while_another_is(detector):
    detector.reset()
    alone, both = two_people(1, 0)[0].copy(), two_people(1, 0)[0]
    alone[:, 400:] = 100
    counts = [len(detector.detect(alone if f < 5 else both, f / FPS)) for f in range(30)]
    assert counts[:5] == [1] * 5
    late = counts.index(2)
    assert late - 5 <= DetectorOptions().search_seconds * FPS + 1
    assert counts[late:] == [2] * (30 - late)


class Recorder:
    """In place of the trained network's reader: remembers what it was shown."""

    opened: list[Recorder]

    def __init__(self) -> None:
        self.places: list[float] = []
        self.closed = False
        self.opened.append(self)

    def see(self, image, points):
        assert image.dtype == np.uint8
        self.places.append(float(points[:, 0].mean()))

    def join(self, later):
        self.places += later.places

    def predict(self, timestamps, keep=None):
        assert not self.closed
        assert len(timestamps) == len(self.places) == len(keep)
        return timestamps, self.places

    def close(self):
        self.closed = True


@pytest.fixture
def recorder():
    Recorder.opened = []
    return Recorder


def test_each_person_is_read_by_one_reader_over_all_pieces(tmp_path, detector, recorder):
    write_video(two_people(44, 9.0), tmp_path / "cross.mp4", FPS, crf=10)
    faces = observe_all(tmp_path / "cross.mp4", detector, open_reader=recorder)
    assert len(faces.people) == 2
    for person in faces.people:
        seconds, places = person.prediction
        np.testing.assert_array_equal(seconds, person.timestamps[person.seen])
        np.testing.assert_allclose(places, middle_of(person), atol=0.01)
    assert len(recorder.opened) >= 3  # the crossing cut both
    assert all(reader.closed for reader in recorder.opened)


def test_readers_are_closed_when_there_is_nobody(tmp_path, recorder):
    write_video([np.full((64, 64, 3), 90, np.uint8)] * 2, tmp_path / "wall.mp4", FPS)
    alone = open_detector()
    with pytest.raises(NoFaceError):
        observe(tmp_path / "wall.mp4", alone, open_reader=recorder)
    alone.close()
    assert [reader.closed for reader in recorder.opened] == [True]
