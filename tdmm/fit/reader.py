"""The trained network over one face of one video: crops while a frame is in memory, everything else when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from roma import rotmat_to_rotvec, rotvec_to_rotmat

from tdmm.fit.crops import CUTS, cut_out, place_crops, upright
from tdmm.fit.network import PriorNetwork, Reading, pauses, to_input
from tdmm.fit.prior import Prediction

# Frames whose crops go through the network together, and frames whose convolutions over time do.
BATCH, WINDOW = 32, 4096
# So many batches of crops (2 MB each) wait for the network or go through it, where the detector is the quicker one.
WAITING = 3


class PriorReader:
    """Sees the frames that show the face, in order, then predicts them all.

    Of a frame only its features stay (under 1 KB). The network runs in a thread of its own, beside the detector.
    """

    def __init__(self, network: PriorNetwork, names: Sequence[str], device: str | torch.device = "cpu") -> None:
        self._names = tuple(names)
        self._device = torch.device(device)
        self._network = network.to(self._device)
        self._crops = [np.empty((BATCH, cut.height, cut.width, 3), np.uint8) for cut in CUTS.values()]
        self._points: list[torch.Tensor] = []  # upright, and pixels per millimetre, of the frames of this batch
        self._scale: list[torch.Tensor] = []
        self._roll: list[torch.Tensor] = []  # of all frames
        self._features: list[Future[torch.Tensor]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tdmm-prior")

    def __len__(self) -> int:
        return len(self._roll)

    def see(self, image: np.ndarray, points: np.ndarray) -> None:
        """The next frame: image (H, W, 3) uint8 RGB, points (478, 2 or 3) landmarks in its pixels.

        The image may be changed afterwards.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image: expected (H, W, 3) uint8, found {image.dtype} {image.shape}")
        seen = torch.as_tensor(points[None, :, :2], dtype=torch.float32)
        frame = upright(seen)
        crops = cut_out(image, place_crops(seen, frame)[0].numpy())
        for batch, crop in zip(self._crops, crops, strict=True):
            batch[len(self._points)] = crop
        self._points.append(frame.points)
        self._scale.append(frame.scale)
        self._roll.append(frame.roll)
        if len(self._points) == BATCH:
            self._flush()

    def join(self, later: PriorReader) -> None:
        """Go on after what another reader saw of the same face, later; that one is done with."""
        self._flush()
        later._flush()
        self._roll += later._roll
        self._features += later._features

    def predict(self, timestamps: np.ndarray, keep: np.ndarray | None = None) -> Prediction:
        """What the N frames show that were seen, at seconds (N,). keep: only these of them (mask or indices)."""
        if len(timestamps) != len(self):
            raise ValueError(f"timestamps: expected {len(self)}, one for each frame that was seen")
        self._flush()
        features = torch.cat([part.result() for part in self._features])
        roll, seconds = torch.cat(self._roll), torch.as_tensor(timestamps, dtype=torch.float64)
        if keep is not None:
            chosen = torch.as_tensor(keep)
            features, roll, seconds = features[chosen.to(features.device)], roll[chosen], seconds[chosen]
        with torch.inference_mode():
            seconds = (seconds - seconds[:1]).float().to(self._device)
            reading = read_clip(self._network, features, seconds)
        return prediction_of(reading, roll, self._names)

    def close(self) -> None:
        """Stop the thread, dropping what it has not done."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _flush(self) -> None:
        n_frames = len(self._points)
        if n_frames == 0:
            return
        crops = [torch.as_tensor(batch[:n_frames].copy()) for batch in self._crops]
        points, scale = torch.cat(self._points), torch.cat(self._scale)
        self._points, self._scale = [], []
        if len(self._features) >= WAITING:
            self._features[-WAITING].result()
        self._features.append(self._thread.submit(self._run, crops, points, scale))

    def _run(self, crops: list[torch.Tensor], points: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            inputs = tuple(to_input(crop.to(self._device)) for crop in crops)
            return self._network.frame_features(inputs, points.to(self._device), scale.to(self._device))


def read_clip(network: PriorNetwork, features: torch.Tensor, seconds: torch.Tensor, window: int = WINDOW) -> Reading:
    """`PriorNetwork.over_time` of one clip, features (N, F) at seconds (N,), in windows that fit into memory: B is 1.

    The context is the whole clip's, and each window sees as far beyond its ends as the network looks.
    """
    x = network.with_context(features[None], network.context(features[None]))
    pause = pauses(seconds[None])
    parts = []
    for start in range(0, len(seconds), window):
        stop = min(start + window, len(seconds))
        low, high = max(start - network.reach, 0), min(stop + network.reach, len(seconds))
        reading = network.read(x[:, low:high], pause[:, low:high])
        parts.append([part[:, start - low : stop - low] for part in vars(reading).values()])
    return Reading(*(torch.cat(part, dim=1) for part in zip(*parts, strict=True)))


def prediction_of(reading: Reading, roll: torch.Tensor, names: tuple[str, ...]) -> Prediction:
    """A reading of one clip (B = 1) in the picture as it is: the roll (N,) that was taken out is put back."""
    array = lambda tensor: tensor[0].float().cpu().numpy()  # noqa: E731
    turn = roll_matrix(roll)
    rotation = turn @ rotvec_to_rotmat(reading.rotation[0].float().cpu())
    # The spread along the axes after the turn; what they share is dropped.
    variance = torch.einsum("nij,nj->ni", turn**2, (2 * reading.rotation_log_sigma[0].float().cpu()).exp())
    return Prediction(
        names=names,
        mean=array(reading.mean.clamp(0, 1)),
        sigma=array(reading.log_sigma.exp()),
        rotation=rotmat_to_rotvec(rotation).numpy(),
        rotation_sigma=variance.sqrt().numpy(),
        visible=array(reading.visible.sigmoid()),
    )


def roll_matrix(roll: torch.Tensor) -> torch.Tensor:
    """(N, 3, 3) the rotation, in the camera's frame, of an upright face that is seen rolled (N,) clockwise."""
    zero = torch.zeros_like(roll)
    return rotvec_to_rotmat(torch.stack([zero, zero, -roll], dim=-1))
