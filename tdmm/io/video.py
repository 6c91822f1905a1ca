"""Video in and out: frames with their timestamps from any file that ffmpeg reads; mp4, gif and png."""

from tdmm.io.video_reader import VideoFrame, VideoInfo, VideoReader, open_video
from tdmm.io.video_writer import FORMATS, format_of, write_video

__all__ = ["FORMATS", "VideoFrame", "VideoInfo", "VideoReader", "format_of", "open_video", "write_video"]
