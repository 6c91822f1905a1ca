"""Made-up faces for the tests of the fitter: small, linear or jointed, and known exactly."""

from __future__ import annotations

import numpy as np
import torch
from roma import rotvec_to_rotmat

from tdmm.face.model import Appearance, Joints, LandmarkEmbedding
from tdmm.motion import FaceMotion, make_motion

GAZE = tuple(f"eyeLook{way}{side}" for side in ("Left", "Right") for way in ("In", "Out", "Up", "Down"))


class MadeUpFace:
    """A bumpy half-ellipsoid of a head's size whose vertices are moved by smooth random displacements."""

    name = "made-up"
    sha256 = "0" * 64
    appearance = Appearance()

    def __init__(self, names: tuple[str, ...], n_shape: int = 6, jaw: bool = False, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        across, down = np.meshgrid(np.linspace(-1.2, 1.2, 17), np.linspace(-1.1, 1.1, 19))
        bumps = 0.012 * np.exp(-8 * (across**2 + (down - 0.1) ** 2))
        rest = np.stack(
            [0.075 * np.sin(across), 0.1 * np.sin(down), 0.09 * np.cos(across) * np.cos(down) + bumps], axis=-1
        ).reshape(-1, 3)
        corner = (np.arange(18)[:, None] * 17 + np.arange(16)).ravel()
        self.faces = np.concatenate(
            [np.stack([corner, corner + 1, corner + 18], 1), np.stack([corner, corner + 18, corner + 17], 1)]
        ).astype(np.int32)
        self.expression_names = names
        self.n_shape = n_shape
        self.joints = Joints(jaw=jaw, eyes=False)
        self._rest = torch.tensor(rest, dtype=torch.float32)
        self._shapes = self._displacements(random, rest, n_shape, 0.004, 0.05)
        self._moves = self._displacements(random, rest, len(names), 0.009, 0.03)
        # The lower half hangs on the jaw, softly.
        self._jaw_weight = torch.tensor(1 / (1 + np.exp((rest[:, 1] + 0.02) / 0.008)), dtype=torch.float32)[:, None]
        self._jaw_centre = torch.tensor([0.0, 0.0, -0.01])
        n_points = 478
        barycentric = random.dirichlet((1, 1, 1), n_points).astype(np.float32)
        self.landmark_embedding = LandmarkEmbedding(
            random.integers(0, len(self.faces), n_points), barycentric, np.full(n_points, 1e-3, np.float32)
        )

    @staticmethod
    def _displacements(random: np.random.Generator, rest: np.ndarray, count: int, size: float, width: float):
        centres = rest[random.integers(0, len(rest), count)]
        near = np.exp(-np.square(rest[None] - centres[:, None]).sum(-1) / (2 * width**2))
        return torch.tensor(size * near[..., None] * random.standard_normal((count, 1, 3)), dtype=torch.float32)

    @property
    def n_vertices(self) -> int:
        return len(self._rest)

    def vertices(
        self,
        shape,
        expression,
        *,
        rotation=None,
        translation=None,
        neck_pose=None,
        jaw_pose=None,
        eyes_pose=None,
    ) -> torch.Tensor:
        posed = self._rest + torch.einsum("...s,svx->...vx", shape, self._shapes[: shape.shape[-1]])
        posed = posed + torch.einsum("te,evx->tvx", expression, self._moves)
        if jaw_pose is not None:
            turned = (posed - self._jaw_centre) @ rotvec_to_rotmat(jaw_pose).mT + self._jaw_centre
            posed = posed + self._jaw_weight * (turned - posed)
        if rotation is not None:
            posed = posed @ rotvec_to_rotmat(rotation).mT
        return posed if translation is None else posed + translation[:, None]

    def landmarks(self, vertices: torch.Tensor) -> torch.Tensor:
        corners = vertices[:, torch.as_tensor(self.faces[self.landmark_embedding.face]).long()]
        return (corners * torch.as_tensor(self.landmark_embedding.barycentric)[..., None]).sum(2)


class StaringFace(MadeUpFace):
    """A made-up face with two patches, its eyeballs, that `eyeLook` expressions leave alone and eye joints turn."""

    def __init__(self, names: tuple[str, ...], **others) -> None:
        super().__init__(names, **others)
        self.joints = Joints(eyes=True)
        centres = torch.tensor([[0.03, 0.03, 0.075], [-0.03, 0.03, 0.075]])
        self._eyeballs = (self._rest[None] - centres[:, None]).norm(dim=-1) < 0.02
        self._eye_centres = centres - torch.tensor([0.0, 0.0, 0.02])
        self._moves[[names.index(name) for name in GAZE]] *= ~self._eyeballs.any(0)[:, None]

    def vertices(self, shape, expression, *, rotation=None, translation=None, eyes_pose=None, **poses):
        posed = super().vertices(shape, expression, **poses)
        if eyes_pose is not None:
            turns = rotvec_to_rotmat(eyes_pose.reshape(-1, 2, 3))
            for side in (0, 1):
                turned = (posed - self._eye_centres[side]) @ turns[:, side].mT + self._eye_centres[side]
                posed = torch.where(self._eyeballs[side][:, None], turned, posed)
        if rotation is not None:
            posed = posed @ rotvec_to_rotmat(rotation).mT
        return posed if translation is None else posed + translation[:, None]


def smooth(random: np.random.Generator, n_frames: int, count: int, frames: float) -> np.ndarray:
    """(n_frames, count) smooth random curves of unit spread that change over about so many frames."""
    times = np.arange(n_frames)[:, None, None]
    waves = random.uniform(0.2, 1.0, (1, count, 4)) / frames
    phase = random.uniform(0, 2 * np.pi, (1, count, 4))
    return np.sin(2 * np.pi * waves * times + phase).sum(2) / np.sqrt(2)


def random_motion(model, n_frames: int = 40, seed: int = 1, n_shape: int | None = None) -> FaceMotion:
    """A head that turns, speaks and looks about in front of the default camera; blendshapes in 0..1, gaze tied."""
    from tdmm.fit.controls import controls_of

    random = np.random.default_rng(seed)
    controls = controls_of(model)
    values = 0.35 * smooth(random, n_frames, len(controls), 20) - 0.15
    values = np.clip(values * np.where(controls.one_sided, 1, controls.sigma), controls.lower, controls.upper)
    for first, second in controls.capped:
        values[:, first] = np.minimum(values[:, first], 1 - values[:, second])
    values[:, [name.startswith("tongue") for name in controls.names]] = 0
    shape = 0.8 * random.standard_normal(model.n_shape if n_shape is None else n_shape)
    rotation = np.radians([8, 15, 6]) * smooth(random, n_frames, 3, 40)
    translation = [0.02, -0.03, -0.75] + smooth(random, n_frames, 3, 50) * [0.03, 0.02, 0.04]
    return make_motion(
        (values @ controls.to_expression).astype(np.float32),
        model.expression_names,
        face_model=model.name,
        face_model_sha256=model.sha256,
        shape=shape.astype(np.float32),
        rotation=rotation,
        translation=translation,
        jaw_pose=values @ controls.to_jaw,
        eyes_pose=values @ controls.to_eyes,
    )
