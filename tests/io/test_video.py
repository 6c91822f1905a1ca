"""Video in and out: what goes in comes out, with its timestamps; bad input is told in one line."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdmm.errors import OutputError, VideoError
from tdmm.io import ffmpeg
from tdmm.io.video import open_video, write_video


def pictures(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """Smooth pictures that differ: a bright square that moves over a gradient."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    frames = []
    for number in range(count):
        frame = np.stack([rows * 200 // height, columns * 200 // width, np.full(size, 60)], axis=-1)
        left = number * (width - width // 4) // max(count - 1, 1)
        frame[height // 4 : height // 2 + 1, left : left + width // 4 + 1] = (230, 120, 40)
        frames.append(frame.astype(np.uint8))
    return frames


def read(source, **options) -> tuple[list[float], list[np.ndarray]]:
    with open_video(source, **options) as video:
        frames = list(video)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    return [frame.timestamp for frame in frames], [frame.image for frame in frames]


def run_ffmpeg(*options: str | Path) -> None:
    command = [ffmpeg.ffmpeg_path(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *map(str, options)]
    subprocess.run(command, check=True)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Ten frames, 64 x 48, 25 per second; index at the front, so that a cut leaves something to decode."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    write_video(pictures(10), path, 25, crf=10)
    return path


def no_threads_left() -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not any(thread.name.startswith("video ") for thread in threading.enumerate()):
            return True
        time.sleep(0.01)
    return False


# -- round trips ---------------------------------------------------------------------------------------


def test_mp4_keeps_pictures_count_and_times(clip):
    times, images = read(clip)
    np.testing.assert_allclose(times, np.arange(10) / 25, atol=1e-9)
    for image, original in zip(images, pictures(10), strict=True):
        # The colour is halved in both directions and rounded; a wrong matrix or range is 10 and more off.
        assert np.abs(image.astype(int) - original).mean() < 3


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (16, 128, 200)])
def test_mp4_keeps_flat_colours(tmp_path, colour):
    write_video([np.full((32, 32, 3), colour, np.uint8)] * 2, tmp_path / "flat.mp4", 25, crf=5)
    _, images = read(tmp_path / "flat.mp4")
    assert np.abs(images[0].astype(int) - colour).max() <= 4


def test_info_of_a_video(clip):
    with open_video(clip) as video:
        info = video.info
    assert (info.width, info.height, info.fps, info.n_frames, info.rotation) == (64, 48, 25.0, 10, 0.0)
    assert info.duration == pytest.approx(0.4, abs=0.011)  # ffmpeg says hundredths
    assert info.name == str(clip)
    assert info.scale == 1.0


def test_ntsc_rate_is_exact(tmp_path):
    write_video(pictures(6), tmp_path / "ntsc.mp4", 30000 / 1001)
    with open_video(tmp_path / "ntsc.mp4") as video:
        assert video.info.fps == pytest.approx(30000 / 1001, rel=1e-6)
        times = [frame.timestamp for frame in video]
    np.testing.assert_allclose(times, np.arange(6) * 1001 / 30000, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (2, 3)])
def test_odd_sizes_gain_their_last_row_and_column(tmp_path, size):
    frames = pictures(3, size)
    assert write_video(frames, tmp_path / "odd.mp4", 25, crf=1) == 3
    _, images = read(tmp_path / "odd.mp4")
    height, width = size
    assert images[0].shape == (height + height % 2, width + width % 2, 3)


def test_frames_folder_is_lossless(tmp_path):
    frames = pictures(5)
    assert write_video(frames, f"{tmp_path}/frames/", 25) == 5
    names = sorted(os.listdir(tmp_path / "frames"))
    assert names == [f"frame_{number:05d}.png" for number in range(5)]
    for name, frame in zip(names, frames, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "frames" / name)), frame)


def test_frames_folder_replaces_frames_but_nothing_else(tmp_path):
    write_video(pictures(5), f"{tmp_path}/frames/", 25)
    write_video(pictures(2), f"{tmp_path}/frames/", 25)
    assert len(os.listdir(tmp_path / "frames")) == 2
    (tmp_path / "frames" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="other files"):
        write_video(pictures(2), f"{tmp_path}/frames/", 25)
    assert (tmp_path / "frames" / "notes.txt").read_text() == "mine"


def test_png_is_one_picture(tmp_path):
    frame = pictures(1, (33, 47))[0]
    assert write_video([frame], tmp_path / "still.png", 25) == 1
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "still.png")), frame)
    with pytest.raises(OutputError, match="one picture"):
        write_video(pictures(2), tmp_path / "two.png", 25)
    assert not (tmp_path / "two.png").exists()


def test_gif_keeps_count_times_and_colours(tmp_path):
    frames = pictures(10)
    write_video(frames, tmp_path / "moving.gif", 25)
    times, images = read(tmp_path / "moving.gif")
    np.testing.assert_allclose(times, np.arange(10) / 25, atol=0.011)  # a gif counts hundredths of a second
    assert np.abs(images[4].astype(int) - frames[4]).mean() < 8
    assert Image.open(tmp_path / "moving.gif").info["loop"] == 0  # for ever


def test_stream_out_and_in_again():
    stream = io.BytesIO()
    write_video(pictures(10), stream, 25)
    data = stream.getvalue()
    assert b"moof" in data  # fragments: a reader can start before the end
    times, _ = read(io.BytesIO(data))
    np.testing.assert_allclose(times, np.arange(10) / 25, atol=1e-9)


def test_pipe_out_and_in_again():
    receive, send = os.pipe()
    with os.fdopen(receive, "rb") as source, os.fdopen(send, "wb") as target:

        def work():
            write_video(pictures(10), target, 25)
            target.close()

        thread = threading.Thread(target=work)
        thread.start()
        times, _ = read(source)
        thread.join()
    assert len(times) == 10


def test_stream_with_its_index_at_the_end(tmp_path, clip):
    """An ordinary mp4 on a pipe needs seeking."""
    run_ffmpeg("-i", clip, "-c", "copy", tmp_path / "end.mp4")
    data = (tmp_path / "end.mp4").read_bytes()
    assert data.find(b"moov") > data.find(b"mdat")
    times, _ = read(io.BytesIO(data))
    assert len(times) == 10
    with (tmp_path / "end.mp4").open("rb") as file:
        assert len(read(file)[0]) == 10


# -- what real files bring -----------------------------------------------------------------------------


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_rotation_metadata_is_honoured(tmp_path, clip, degrees, turns):
    """Phones store a portrait lying down; the note says how far to turn it counter-clockwise."""
    run_ffmpeg("-display_rotation", str(degrees), "-i", clip, "-c", "copy", tmp_path / "turned.mp4")
    _, upright = read(clip)
    with open_video(tmp_path / "turned.mp4") as video:
        first = next(video).image
        info = video.info
    assert abs(info.rotation) == abs(degrees)
    assert first.shape == (info.height, info.width, 3)
    np.testing.assert_array_equal(first, np.rot90(upright[0], turns))


def retime(clip: Path, target: Path, frame_number: str) -> None:
    """Copy a 25 fps clip, frame N at the time of the frame number that the expression in N gives; lossless."""
    filters = f"settb=1/1000,setpts='round(({frame_number})/25/TB)'"
    run_ffmpeg(
        "-i", clip, "-vf", filters, "-fps_mode", "passthrough", "-enc_time_base", "1:1000", "-c:v", "ffv1", target
    )


def test_variable_frame_rate_keeps_its_times(tmp_path, clip):
    retime(clip, tmp_path / "vfr.mkv", "N+mod(N,3)*0.3")
    times, _ = read(tmp_path / "vfr.mkv")
    numbers = np.arange(10)
    np.testing.assert_allclose(times, (numbers + numbers % 3 * 0.3) / 25, atol=6e-4)  # mkv counts milliseconds


def test_times_increase_strictly_where_the_file_repeats_itself(tmp_path, clip):
    retime(clip, tmp_path / "twice.nut", "floor(N/2)")
    times, images = read(tmp_path / "twice.nut")
    assert len(images) == 10
    assert np.all(np.diff(times) > 0)


def test_pixels_that_are_not_square_become_square(tmp_path, clip):
    run_ffmpeg("-i", clip, "-vf", "setsar=2", tmp_path / "wide.mp4")
    with open_video(tmp_path / "wide.mp4") as video:
        assert (video.info.width, video.info.height, video.info.scale) == (128, 48, 1.0)


def test_max_side_makes_frames_smaller(clip):
    with open_video(clip, max_side=32) as video:
        assert (video.info.width, video.info.height, video.info.scale) == (32, 24, 0.5)
        assert next(video).image.shape == (24, 32, 3)
    with open_video(clip, max_side=1000) as video:
        assert (video.info.width, video.info.scale) == (64, 1.0)


@pytest.mark.parametrize("name", ["still.png", "still.jpg", "still.webp", "100%d.png", "-odd name:.png"])
def test_a_picture_is_one_frame(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pictures(1)[0]
    Image.fromarray(frame).save(name, quality=95)
    times, images = read(name)
    assert times == [0.0]
    assert np.abs(images[0].astype(int) - frame).mean() < 4


def test_one_pixel(tmp_path):
    Image.fromarray(np.full((1, 1, 3), 200, np.uint8)).save(tmp_path / "dot.png")
    _, images = read(tmp_path / "dot.png")
    assert images[0].tolist() == [[[200, 200, 200]]]


def test_large_pictures(tmp_path):
    write_video([np.full((2160, 3840, 3), shade, np.uint8) for shade in (50, 200)], tmp_path / "4k.mp4", 25)
    _, images = read(tmp_path / "4k.mp4")
    assert [image.shape for image in images] == [(2160, 3840, 3)] * 2
    assert abs(int(images[1][0, 0, 0]) - 200) <= 3


def test_sound_beside_the_picture_is_left_alone(tmp_path, clip):
    run_ffmpeg("-i", clip, "-f", "lavfi", "-i", "sine=duration=2", "-c:v", "copy", "-c:a", "aac", tmp_path / "loud.mp4")
    assert len(read(tmp_path / "loud.mp4")[0]) == 10


# -- bad input -----------------------------------------------------------------------------------------


def cut(path: Path, target: Path, share: float) -> Path:
    data = path.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def bad_input(kind: str, folder: Path, clip: Path) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("this is not a video\n" * 50)
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    elif kind == "empty":
        path.touch()
    elif kind == "header":
        cut(clip, path, 0.1)
    elif kind == "sound":
        run_ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", path)
    elif kind == "frameless":
        run_ffmpeg("-i", clip, "-t", "0", path)
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "no such file"),
        ("folder", "is a folder"),
        ("text", "cannot read"),
        ("noise", "cannot read"),
        ("empty", "0 bytes"),
        ("header", "empty or cut short"),
        ("sound", "only sound"),
        ("frameless", "empty or cut short"),
    ],
)
def test_what_is_no_video_is_told_in_one_line(tmp_path, clip, kind, reason):
    path = bad_input(kind, tmp_path, clip)
    with pytest.raises(VideoError, match=reason) as caught:
        read(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert no_threads_left()


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".avi"])
def test_a_video_cut_short_is_an_error_after_its_whole_frames(tmp_path, ending):
    """Noise, so that the pictures and not the headers are most of the file."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(20)]
    write_video(noise, tmp_path / "noise.mp4", 25)
    run_ffmpeg("-i", tmp_path / "noise.mp4", "-c", "copy", "-movflags", "+faststart", tmp_path / f"whole{ending}")
    short = cut(tmp_path / f"whole{ending}", tmp_path / f"short{ending}", 0.6)
    frames = 0
    with open_video(short) as video, pytest.raises(VideoError, match="cut short or damaged") as caught:  # noqa: PT012
        for _ in video:
            frames += 1
    assert 5 < frames < 20
    assert short.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_stream_that_is_no_video():
    with pytest.raises(VideoError, match="cannot read the stream as a video"):
        read(io.BytesIO(b"nothing to see" * 100))
    with pytest.raises(VideoError, match="the stream"):
        read(io.BytesIO(b""))


# -- ending early --------------------------------------------------------------------------------------


def test_leaving_early_ends_the_process_and_the_threads(tmp_path):
    write_video(pictures(200, (240, 320)), tmp_path / "long.mp4", 25, preset="ultrafast")
    with open_video(tmp_path / "long.mp4") as video:
        next(video)
        process = video._decoder.process
    assert process.returncode is not None  # waited for: no zombie
    assert no_threads_left()
    with pytest.raises(StopIteration):
        next(video)


def test_leaving_a_stream_early_that_gives_nothing_more():
    """A camera that stops sending: closing must not wait for it."""
    stream = io.BytesIO()
    write_video(itertools.islice(noise_for_ever(), 100), stream, 25, preset="ultrafast")
    receive, send = os.pipe()
    closed = threading.Event()

    def send_most():
        with os.fdopen(send, "wb") as target, contextlib.suppress(BrokenPipeError):
            target.write(stream.getvalue()[:-1000])
            target.flush()
            closed.wait()

    sender = threading.Thread(target=send_most)
    sender.start()
    with os.fdopen(receive, "rb") as source:
        with open_video(source) as video:
            next(video)
        closed.set()
    sender.join()
    assert no_threads_left()


# -- bad output ----------------------------------------------------------------------------------------


def noise_for_ever():
    rng = np.random.default_rng(0)
    while True:
        yield rng.integers(0, 255, (128, 128, 3), dtype=np.uint8)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk():
    with pytest.raises(OutputError, match="No space left on device"):
        write_video(noise_for_ever(), "/dev/full", 25, format="mp4")
    with open("/dev/full", "wb", buffering=0) as stream, pytest.raises(OutputError, match="No space left on device"):
        write_video(noise_for_ever(), stream, 25)


def test_a_reader_that_goes_away():
    receive, send = os.pipe()
    with os.fdopen(send, "wb", buffering=0) as target:
        os.close(receive)
        with pytest.raises(BrokenPipeError):
            write_video(noise_for_ever(), target, 25)


def test_a_stream_that_fails_without_a_descriptor():
    class Full(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_video(noise_for_ever(), Full(), 25)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("{tmp}/absent/out.mp4", "no folder"),
        ("{tmp}/file/out.mp4", "no folder"),
        ("{tmp}/file/frames/", "no folder"),
        ("{tmp}/out.avi", r"cannot write \.avi"),
    ],
)
def test_places_that_cannot_be_written(tmp_path, target, reason):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=reason):
        write_video(pictures(2), target.format(tmp=tmp_path), 25)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "frames/", "out.png"])
def test_nothing_half_written_when_rendering_fails(tmp_path, name):
    def failing():
        yield from pictures(3)
        raise RuntimeError("the renderer broke")

    with pytest.raises((RuntimeError, OutputError)):
        write_video(failing(), f"{tmp_path}/{name}", 25)
    assert os.listdir(tmp_path) == []


def test_an_old_file_stays_when_the_new_one_fails(tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"old")

    def failing():
        yield from pictures(3)
        raise RuntimeError("the renderer broke")

    with pytest.raises(RuntimeError, match="broke"):
        write_video(failing(), tmp_path / "out.mp4", 25)
    assert (tmp_path / "out.mp4").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_frames_of_another_size_or_type_are_refused(tmp_path):
    with pytest.raises(ValueError, match="frame 1"):
        write_video([*pictures(1), *pictures(1, (10, 10))], tmp_path / "out.mp4", 25)
    with pytest.raises(ValueError, match="uint8"):
        write_video([np.zeros((4, 4, 3))], tmp_path / "out.mp4", 25)
    with pytest.raises(OutputError, match="no frames"):
        write_video([], tmp_path / "out.mp4", 25)
    assert os.listdir(tmp_path) == []
