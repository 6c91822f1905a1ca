"""Which of the faces found in the frames of a video belong to one person.

While the frames come, a face continues the one it overlaps most. Where two faces pass before each other that says
little: both are cut there. At the end the pieces are joined again, over such places and over short gaps, by where each
was going and by the likeness of the landmarks, the pair that fits best first.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from tdmm.fit.detect import Landmarks, overlap

# Intersection over union of a face's box in consecutive frames, at least.
SAME_PLACE = 0.1
# Two faces whose boxes overlap by more than this may be taken for each other.
CROSSING = 0.02
# A face that was gone for longer (seconds) is another track.
LONGEST_GAP = 2.0
# A track that was seen for less (seconds, and less than a quarter of the clip) is dropped.
SHORTEST_TRACK = 0.3
# Seconds over which the speed of a face is taken, and sizes of a face per second by which the speed may be wrong.
SPEED_SECONDS, SPEED_DOUBT = 0.25, 1.0
# By how much, in sizes of the face, a place may be wrong in any case.
PLACE_DOUBT = 0.35
# Two pieces that differ by more (see `_cost`) are not one person.
MOST = 4.0
# Landmarks that are compared: so many, spread over all.
N_COMPARED = 96


@dataclass(eq=False)
class Piece:
    """A face in consecutive frames. times: seconds, boxes: (4,) left, top, right, bottom in pixels, of each."""

    times: list[float] = field(default_factory=list)
    boxes: list[np.ndarray] = field(default_factory=list)
    crossed: set[int] = field(default_factory=set)  # ids of pieces that it overlaps now
    shape_sum: np.ndarray | None = None  # of the normalised landmarks, and of their squares
    square_sum: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.times)

    @property
    def shape(self) -> np.ndarray:
        """(N_COMPARED, 3) the mean of the normalised landmarks."""
        assert self.shape_sum is not None
        return self.shape_sum / len(self)

    def velocity(self, at_end: bool) -> np.ndarray:
        """(3,) pixels a second of the box's middle, and its growth in logarithms a second, at one end."""
        order = slice(None, None, -1) if at_end else slice(None)
        times, boxes = np.array(self.times[order]), np.array(self.boxes[order])
        near = np.abs(times - times[0]) <= SPEED_SECONDS
        if near.sum() < 2:
            return np.zeros(3)
        places = np.stack([_place(box) for box in boxes[near]])
        return np.polyfit(times[near] - times[0], places, 1)[0]


@dataclass(frozen=True)
class Track:
    """One person: pieces in the order of time. area: the sum of its boxes over all frames, square pixels."""

    pieces: tuple[Piece, ...]

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def area(self) -> float:
        return float(sum(np.prod(box[2:] - box[:2]) for piece in self.pieces for box in piece.boxes))

    @property
    def first_time(self) -> float:
        return self.pieces[0].times[0]


class Tracks:
    """Is shown the faces of each frame in order; knows the tracks at the end."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._live: list[Piece] = []
        self._reference: np.ndarray | None = None
        self._times: list[float] = []

    def see(self, faces: Sequence[Landmarks], timestamp: float) -> list[Piece]:
        """The piece that each face of the next frame belongs to."""
        before = self._live
        self._times.append(timestamp)
        chosen: list[Piece | None] = [None] * len(faces)
        if before and faces:
            shared = np.array([[overlap(piece.boxes[-1], face.box) for face in faces] for piece in before])
            for row, column in zip(*linear_sum_assignment(-shared), strict=True):
                if shared[row, column] >= SAME_PLACE:
                    chosen[column] = before[row]
        apart = self._came_apart([piece for piece in chosen if piece is not None], faces, chosen)
        pieces = []
        for face, piece in zip(faces, chosen, strict=True):
            if piece is None or piece in apart:
                piece = Piece()
                self._pieces.append(piece)
            self._add(piece, face, timestamp)
            pieces.append(piece)
        for a, piece in enumerate(pieces):
            piece.crossed = {
                id(other)
                for b, other in enumerate(pieces)
                if a != b and overlap(piece.boxes[-1], other.boxes[-1]) > CROSSING
            }
        self._live = pieces
        return pieces

    def join(self, most: int | None = None) -> tuple[list[Track], list[Track]]:
        """The tracks, the largest first and at most `most` of them, and those that are dropped."""
        tracks = sorted((Track(tuple(chain)) for chain in self._chains()), key=lambda track: -track.area)
        seconds = self._times[-1] - self._times[0] if self._times else 0.0
        step = seconds / max(1, len(self._times) - 1)
        least = min(math.ceil(SHORTEST_TRACK / step) if step else 1, math.ceil(len(self._times) / 4))
        kept = [track for track in tracks if len(track) >= least][:most]
        return kept, [track for track in tracks if track not in kept]

    def _came_apart(
        self, going_on: Sequence[Piece], faces: Sequence[Landmarks], chosen: Sequence[Piece | None]
    ) -> list[Piece]:
        """The pieces that overlapped another one until now, and no longer do, or the other one is gone."""
        here = {id(piece): face.box for face, piece in zip(faces, chosen, strict=True) if piece is not None}
        return [
            piece
            for piece in going_on
            if any(other not in here or overlap(here[id(piece)], here[other]) <= CROSSING for other in piece.crossed)
        ]

    def _add(self, piece: Piece, face: Landmarks, timestamp: float) -> None:
        piece.times.append(timestamp)
        piece.boxes.append(face.box.astype(np.float64))
        shape = self._normalised(face.points)
        if piece.shape_sum is None or piece.square_sum is None:
            piece.shape_sum, piece.square_sum = np.zeros_like(shape), np.zeros_like(shape)
        piece.shape_sum += shape
        piece.square_sum += shape**2

    def _normalised(self, points: np.ndarray) -> np.ndarray:
        """(N_COMPARED, 3) landmarks of unit size about their middle, turned as the first face's are (Kabsch 1976)."""
        points = points[np.linspace(0, len(points) - 1, N_COMPARED).astype(int)].astype(np.float64)
        points = points - points.mean(0)
        points = points / np.sqrt(np.square(points).sum(1).mean())
        if self._reference is None:
            self._reference = points
        u, _, v = np.linalg.svd(points.T @ self._reference)
        u[:, -1] *= np.sign(np.linalg.det(u @ v))
        return points @ (u @ v)

    def _chains(self) -> list[list[Piece]]:
        """Pieces that are one person's: the two groups that fit best are joined, again and again.

        A group's likeness is that of all its pieces, so that a doubtful piece between two good ones decides nothing.
        """
        groups = {number: [piece] for number, piece in enumerate(self._pieces)}
        noise = self._noise() if groups else np.zeros(0)
        # Pieces are in the order of their beginnings: those that may follow come soon after.
        near: dict[int, set[int]] = {number: set() for number in groups}
        waiting: list[tuple[float, int, int]] = []

        def consider(first: int, second: int) -> None:
            near[first].add(second)
            near[second].add(first)
            cost = _cost(groups[first], groups[second], noise)
            if cost < MOST:
                heapq.heappush(waiting, (cost, first, second))

        for first, piece in enumerate(self._pieces):
            for second in range(first + 1, len(self._pieces)):
                gap = self._pieces[second].times[0] - piece.times[-1]
                if gap > LONGEST_GAP:
                    break
                if gap > 0:
                    consider(first, second)
        following = len(groups)
        while waiting:
            _, first, second = heapq.heappop(waiting)
            if first not in groups or second not in groups:
                continue
            joined = sorted(groups.pop(first) + groups.pop(second), key=lambda piece: piece.times[0])
            groups[following], near[following] = joined, set()
            for other in (near.pop(first) | near.pop(second)) & groups.keys():
                consider(following, other)
            following += 1
        return list(groups.values())

    def _noise(self) -> np.ndarray:
        """(N_COMPARED, 3) the variance of each normalised landmark within one piece: expressions and the detector."""
        count = sum(map(len, self._pieces))
        spread = sum(piece.square_sum - len(piece) * piece.shape**2 for piece in self._pieces)  # type: ignore[operator]
        return np.maximum(np.asarray(spread) / count, 0.0) + 0.01**2


def _cost(first: list[Piece], second: list[Piece], noise: np.ndarray) -> float:
    """How unlikely it is that two groups of pieces are one person: unlikeness, and the mean miss where they meet.

    Unlikeness is the RMS difference of the mean shapes in units of `noise`, less what so few frames differ by chance.
    Infinite for groups that were seen at the same time, or that are too far apart.
    """
    order = sorted([(piece.times[0], 0, piece) for piece in first] + [(p.times[0], 1, p) for p in second], key=_by_time)
    misses = []
    for (_, mine, before), (_, other, after) in pairwise(order):
        gap = after.times[0] - before.times[-1]
        if gap <= 0 or gap > LONGEST_GAP:
            return np.inf
        if mine != other:
            misses.append(_miss(before, after))
    differ = np.square(_mean_shape(first) - _mean_shape(second)) / noise
    chance = 1 / sum(map(len, first)) + 1 / sum(map(len, second))
    return math.sqrt(max(0.0, float(differ.mean()) - chance)) + float(np.mean(misses))


def _mean_shape(group: list[Piece]) -> np.ndarray:
    return np.average([piece.shape for piece in group], axis=0, weights=[len(piece) for piece in group])


def _by_time(entry: tuple[float, int, Piece]) -> float:
    return entry[0]


def _miss(first: Piece, second: Piece) -> float:
    """Between where one piece was going and the next one is, and the other way round, in units of what a gap allows."""
    gap = second.times[0] - first.times[-1]
    end, begin = _place(first.boxes[-1]), _place(second.boxes[0])
    size = math.exp(0.5 * (end[2] + begin[2]))
    doubt = np.array([size, size, 1.0]) * (PLACE_DOUBT + SPEED_DOUBT * gap)
    ahead = (end + first.velocity(at_end=True) * gap - begin) / doubt
    back = (begin - second.velocity(at_end=False) * gap - end) / doubt
    return 0.5 * float(np.linalg.norm(ahead) + np.linalg.norm(back))


def _place(box: np.ndarray) -> np.ndarray:
    """(3,) the middle of a box, and the logarithm of its size, pixels."""
    return np.array([*(0.5 * (box[:2] + box[2:])), 0.5 * math.log(max(1e-6, float(np.prod(box[2:] - box[:2]))))])
