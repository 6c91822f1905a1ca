"""How heads stand before cameras and move: rotation, place in the picture, distance, focal length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from .curves import bumps, ease, log_uniform, waves

# The built-in head's face at rest: the middle of its landmarks, and their height, metres.
FACE_MIDDLE = np.array([0.0, 0.0084, 0.101])
FACE_HEIGHT = 0.163
# Degrees about x (down), y (to the subject's left), z (towards the right shoulder): how far heads turn at most.
LIMITS = np.array([32.0, 62.0, 27.0])
FOCAL = (0.8, 3.5)  # lengths of the picture's side
FACE_PART = (0.35, 0.8)  # height of the face in the picture
EVENTS_A_SECOND = 0.5


@dataclass(frozen=True)
class Heads:
    """rotation, translation: (B, T, 3) float32; focal: (B,) float32 in sides of the picture; turn: (B, T, 3) degrees
    about x, y, z relative to the line of sight to where the face is on average."""

    rotation: np.ndarray
    translation: np.ndarray
    focal: np.ndarray
    turn: np.ndarray


def place(random: np.random.Generator, times: np.ndarray) -> Heads:
    """Heads for takes with frames at `times` (B, T) seconds. A fifth of them keep still."""
    n_takes = len(times)
    still = random.random(n_takes) < 0.2
    turn = _turns(random, times, still)
    focal = np.where(
        random.random(n_takes) < 0.5,
        log_uniform(random, FOCAL[0], 1.3, n_takes),
        log_uniform(random, FOCAL[0], FOCAL[1], n_takes),
    ).astype(np.float32)
    part = random.uniform(*FACE_PART, n_takes)
    # Where the face's middle may be, sides of the picture from its middle: the whole face stays inside.
    room = np.maximum(0.5 - 0.52 * part, 0.02)[:, None]
    spot = room * np.clip(random.normal(0, 0.6, (n_takes, 2)), -1, 1)
    distance = focal * FACE_HEIGHT / part

    ray = np.concatenate([spot * (1, -1), -focal[:, None]], axis=1)
    sight = _smallest_turn(ray / np.linalg.norm(ray, axis=1, keepdims=True))
    angles = np.radians(turn[..., [1, 0, 2]]).reshape(-1, 3)
    own = Rotation.from_euler("YXZ", angles).as_matrix().reshape(*turn.shape[:2], 3, 3)
    matrix = sight[:, None] @ own
    arm = matrix @ FACE_MIDDLE  # (B, T, 3) from the head joint to the face's middle

    # The neck stands still and the face swings about it, or (a camera that follows) the face stays in its place.
    swing = random.uniform(0, 1, (n_takes, 1, 1)) * (arm - arm.mean(1, keepdims=True))
    middle = (ray / focal[:, None] * distance[:, None])[:, None] + swing
    moving = np.where(still, 0, random.uniform(0, 1, n_takes))[:, None]
    middle[..., :2] += 0.008 * moving[..., None] * waves(random, times, 2, 0.1, 0.6)
    middle *= 1 + 0.03 * moving[..., None] * waves(random, times, 1, 0.05, 0.4)
    seen = middle[..., :2] / -middle[..., 2:] * focal[:, None, None]
    middle[..., :2] = np.clip(seen, -room[:, None], room[:, None]) * -middle[..., 2:] / focal[:, None, None]
    return Heads(
        rotation=Rotation.from_matrix(matrix.reshape(-1, 3, 3)).as_rotvec().reshape(turn.shape).astype(np.float32),
        translation=(middle - arm).astype(np.float32),
        focal=focal,
        turn=turn.astype(np.float32),
    )


def _turns(random: np.random.Generator, times: np.ndarray, still: np.ndarray) -> np.ndarray:
    """(B, T, 3) degrees about x, y, z: where a head looks, and its nods, shakes, tilts, slow turns, sway and tremor."""
    n_takes, seconds = len(times), times[:, -1:]
    near = random.random((n_takes, 2, 1)) < 0.65

    def stance() -> np.ndarray:
        frontal = random.normal(0, [7, 11, 4], (n_takes, 2, 3))
        return np.where(near, frontal, random.uniform(-LIMITS, LIMITS, (n_takes, 2, 3)))

    ends = stance()
    stays = random.random(n_takes) < 0.6
    ends[stays, 1] = ends[stays, 0]
    begin = random.uniform(-0.2, 0.8, (n_takes, 1)) * seconds
    slow = ease((times - begin) / random.uniform(0.4, 3.0, (n_takes, 1)))[..., None]
    turn = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * slow

    count = int(np.ceil(EVENTS_A_SECOND * seconds.max())) + 1
    size = (n_takes, count)
    # The longest take sets the number of events; in a shorter one as many fall behind its end.
    start = random.uniform(-0.5, seconds.max(), size)
    shape = bumps(
        times, start, *(random.uniform(low, high, size) for low, high in ((0.1, 0.4), (0.1, 1.2), (0.2, 0.6)))
    )
    axis = random.choice(3, size, p=(0.45, 0.35, 0.2))
    # A nod or a shake goes to and fro; a tilt or a glance aside is one way.
    rate = np.where(random.random(size) < 0.6, random.uniform(0.8, 3.0, size), 0)
    swing = np.sin(
        2 * np.pi * rate[:, None] * (times[..., None] - start[:, None]) + np.where(rate > 0, 0, np.pi / 2)[:, None]
    )
    degrees = np.array([9.0, 14.0, 9.0])[axis] * random.uniform(0.2, 1.0, size) * random.choice((-1, 1), size)
    degrees *= ~still[:, None] & (random.random(size) < 0.7)
    turn = turn + np.einsum("btk,bka->bta", shape * swing, degrees[..., None] * (axis[..., None] == np.arange(3)))

    lively = np.where(still, 0, 1)[:, None, None]
    sway = random.uniform(0, 2.0, (n_takes, 1, 1)) * waves(random, times, 3, 0.1, 0.7)
    tremor = random.uniform(0, 0.12, (n_takes, 1, 1)) * waves(random, times, 3, 2.0, 8.0)
    turn = turn + lively * (sway + tremor)
    return np.clip(turn, -LIMITS, LIMITS)


def _smallest_turn(ray: np.ndarray) -> np.ndarray:
    """(B, 3, 3) the smallest rotations that take (0, 0, -1) to the unit vectors `ray` (B, 3)."""
    axis = np.cross([0.0, 0.0, -1.0], ray)
    sine = np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.arctan2(sine, -ray[:, 2:])
    return Rotation.from_rotvec(axis / np.maximum(sine, 1e-12) * angle).as_matrix()
