"""The network that reads expressions: crops and landmarks of each frame, then time, then the whole clip.

Each frame by itself: a small convolutional network for each crop (one for both eyes) and a perceptron for the upright
landmarks give one feature vector. Over time: what the clip has in common (its resting face, its light) is gathered by
attention and told to every frame; dilated convolutions look at the frames around. Heads give every control's mean and
spread, the head's rotation and its spread, and how much of each region can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from tdmm.fit.crops import CUTS

N_POINTS = 478
# Millimetres of an upright landmark that count as 1.
POINT_UNIT = 10.0
# Least and largest spread that is told, of controls and of rotations (radians).
SIGMA_RANGE = (0.01, 1.0)
TURN_SIGMA_RANGE = (0.003, 0.5)
# A pause between frames longer than this tells nothing more, seconds.
LONGEST_PAUSE = 0.5
_USUAL_STEP = 0.04


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network. Every stage of a crop's network halves the picture.

    n_controls, n_regions: what is read. eye, mouth, face: channels of the stages. crop_features, point_features: of
    each branch, hidden_points between. features: of a frame. context_heads, context_features: what is gathered of a
    clip.
    dilations: of the convolutions over time, each of three frames; 1 + 2 * sum(dilations) frames are seen.
    folded: batch normalisation has become part of the convolutions.
    """

    n_controls: int
    n_regions: int = 4
    eye: tuple[int, ...] = (20, 40, 64, 96)
    mouth: tuple[int, ...] = (20, 40, 64, 80)
    face: tuple[int, ...] = (16, 32, 56, 80, 96)
    crop_features: int = 88
    hidden_points: int = 136
    point_features: int = 96
    features: int = 208
    context_heads: int = 4
    context_features: int = 128
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    folded: bool = False


@dataclass(frozen=True)
class Reading:
    """What the network says of B clips of T frames, in the upright frame.

    mean, log_sigma: (B, T, C). rotation, rotation_log_sigma: (B, T, 3) axis-angle radians. visible: (B, T, R) logits.
    """

    mean: Tensor
    log_sigma: Tensor
    rotation: Tensor
    rotation_log_sigma: Tensor
    visible: Tensor


class PriorNetwork(nn.Module):
    """`frame_features` of each frame, then `over_time` of a clip; `forward` is both."""

    usual_points: Tensor
    log_spread: Tensor
    turn_log_spread: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        size = {name: (cut.height, cut.width) for name, cut in CUTS.items()}
        self.eye = CropNetwork(config.eye, size["right eye"], config.crop_features, config.folded)
        self.mouth = CropNetwork(config.mouth, size["mouth"], config.crop_features, config.folded)
        self.face = CropNetwork(config.face, size["face"], config.crop_features, config.folded)
        # Where the landmarks usually lie; set from the data before training.
        self.register_buffer("usual_points", torch.zeros(N_POINTS, 2))
        # By how much more it misses than it thinks, measured once it is trained on people that it was not trained on.
        self.register_buffer("log_spread", torch.zeros(config.n_controls))
        self.register_buffer("turn_log_spread", torch.zeros(()))
        self.points = nn.Sequential(
            nn.Linear(2 * N_POINTS, config.hidden_points),
            nn.ReLU(),
            nn.Linear(config.hidden_points, config.point_features),
            nn.ReLU(),
        )
        self.join = nn.Linear(4 * config.crop_features + config.point_features + 1, config.features)
        self.pause = nn.Linear(2, config.features)
        self.context = ClipContext(config)
        self.time = nn.ModuleList(TimeBlock(config.features, dilation) for dilation in config.dilations)
        self.norm = nn.LayerNorm(config.features)
        self.head = nn.Linear(config.features, 2 * config.n_controls + 6 + config.n_regions)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()
            self.head.bias[config.n_controls : 2 * config.n_controls] = -1.5

    @property
    def reach(self) -> int:
        """Frames before and after a frame that its convolutions over time look at."""
        return sum(self.config.dilations)

    def frame_features(self, crops: tuple[Tensor, ...], points: Tensor, size: Tensor) -> Tensor:
        """(N, F) features of N frames.

        crops: right eye, left eye, mouth, face, each (N, 3, height, width) in -1..1. points: (N, 478, 2) upright
        landmarks, millimetres. size: (N,) pixels per millimetre of the picture they were cut from.
        """
        right, left, mouth, face = crops
        eyes = self.eye(torch.cat([right, left])).unflatten(0, (2, -1))
        flat = ((points - self.usual_points) / POINT_UNIT).flatten(1)
        sharpness = size.clamp(0.1, 4.0).log()[:, None]
        parts = [eyes[0], eyes[1], self.mouth(mouth), self.face(face), self.points(flat), sharpness.to(flat)]
        return self.join(torch.cat([part.to(flat) for part in parts], dim=1))

    def over_time(self, features: Tensor, seconds: Tensor, present: Tensor | None = None) -> Reading:
        """What B clips (B, T, F) of frames at seconds (B, T) show. present: (B, T) bool, False for filling at the end.

        Nothing depends on the filling.
        """
        x = self.with_context(features, self.context(features, present))
        return self.read(x, pauses(seconds, present), present)

    def with_context(self, features: Tensor, context: Tensor) -> Tensor:
        """(B, T, F) features told about their clip, context (B, context_features)."""
        return features + self.context.tell(context)[:, None]

    def read(self, x: Tensor, pause: Tensor, present: Tensor | None = None) -> Reading:
        """The frames' convolutions and heads. x: (B, T, F) `with_context`. pause: (B, T, 2) of `pauses`."""
        x = x + self.pause(pause.to(x))
        keep = None if present is None else present[..., None].to(x)
        for block in self.time:
            x = block(x, keep)
        out = self.head(self.norm(x)).float()
        n = self.config.n_controls
        mean, log_sigma, rotation, turn, visible = out.split([n, n, 3, 3, self.config.n_regions], dim=-1)
        log_sigma = _within(log_sigma, SIGMA_RANGE) + self.log_spread
        return Reading(mean, log_sigma, rotation, _within(turn - 1.5, TURN_SIGMA_RANGE) + self.turn_log_spread, visible)

    def forward(self, crops: tuple[Tensor, ...], points: Tensor, size: Tensor, seconds: Tensor) -> Reading:
        """One whole clip of T frames: shapes of `frame_features` with N = T, seconds (T,); B is 1."""
        return self.over_time(self.frame_features(crops, points, size)[None], seconds[None])


class CropNetwork(nn.Module):
    """One crop (N, 3, H, W) to (N, out) features: strided convolutions, a residual one at the middle sizes."""

    def __init__(self, channels: tuple[int, ...], size: tuple[int, int], out: int, folded: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        height, width = size
        before = 3
        for number, width_of in enumerate(channels):
            layers.append(Convolution(before, width_of, stride=2, folded=folded))
            height, width = -(-height // 2), -(-width // 2)
            if 0 < number < len(channels) - 1 and width_of < 80 and width <= 20:
                layers.append(Residual(width_of, folded))
            before = width_of
        self.layers = nn.Sequential(*layers)
        self.out = nn.Linear(before * height * width, out)

    def forward(self, crop: Tensor) -> Tensor:
        return functional.relu(self.out(self.layers(crop).flatten(1)))


class Convolution(nn.Module):
    """3 x 3 convolution, batch normalisation unless folded, ReLU."""

    def __init__(self, before: int, after: int, stride: int, folded: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, 3, stride, padding=1, bias=folded)
        self.norm = nn.Identity() if folded else nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.convolution(x)))


class Residual(nn.Module):
    """x + convolution(x): keeps size and channels."""

    def __init__(self, channels: int, folded: bool) -> None:
        super().__init__()
        self.block = Convolution(channels, channels, 1, folded)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class ClipContext(nn.Module):
    """What a clip has in common: means of its frames, each head weighting the frames by what it looks for."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.heads = config.context_heads
        self.values = nn.Linear(config.features, config.context_features)
        self.weights = nn.Linear(config.features, config.context_heads)
        self.tell = nn.Linear(config.context_features, config.features)

    def parts(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Values (..., heads, n) and the weights (..., heads) of frames (..., F); a clip's context is their mean."""
        # Bounded, so that a long clip cannot hang on one frame of it.
        weights = (3 * torch.tanh(self.weights(features).float() / 3)).exp()
        return functional.gelu(self.values(features)).unflatten(-1, (self.heads, -1)).float(), weights

    def forward(self, features: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, context_features) of clips (B, T, F)."""
        values, weights = self.parts(features)
        if present is not None:
            weights = weights * present[..., None]
        mean = (values * weights[..., None]).sum(1) / weights.sum(1)[..., None]
        return mean.flatten(1).to(features)


class TimeBlock(nn.Module):
    """x + what three frames, `dilation` apart, say together. Beyond the clip's ends there is zero."""

    def __init__(self, features: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.around = nn.Conv1d(features, features, 3, padding=dilation, dilation=dilation, groups=features)
        self.mix = nn.Linear(features, features)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        y = self.norm(x)
        if keep is not None:
            y = y * keep
        y = self.around(y.transpose(1, 2)).transpose(1, 2)
        return x + functional.gelu(self.mix(y))


def to_input(crop: Tensor) -> Tensor:
    """(N, height, width, 3) uint8 to (N, 3, height, width) in -1..1."""
    return crop.permute(0, 3, 1, 2).float() * (2 / 255) - 1


def pauses(seconds: Tensor, present: Tensor | None = None) -> Tensor:
    """(B, T, 2) how long ago the frame before was, and how far the next one is, as logarithms; seconds (B, T).

    Beyond a clip's ends, and its frames that are present (B, T), there is a long pause.
    """
    step = seconds.diff(dim=1).clamp(1e-3, LONGEST_PAUSE)
    if present is not None:
        step = torch.where(present[:, 1:], step, LONGEST_PAUSE)
    end = torch.full_like(seconds[:, :1], LONGEST_PAUSE)
    both = torch.stack([torch.cat([end, step], 1), torch.cat([step, end], 1)], dim=-1)
    return (both / _USUAL_STEP).log()


def folded(network: PriorNetwork) -> PriorNetwork:
    """The same function with every batch normalisation put into the convolution before it."""
    result = PriorNetwork(replace(network.config, folded=True))
    state = {name: value for name, value in network.state_dict().items() if ".norm.num_batches" not in name}
    for name, module in network.named_modules():
        if isinstance(module, Convolution) and isinstance(module.norm, nn.BatchNorm2d):
            norm = module.norm
            assert norm.running_var is not None
            assert norm.running_mean is not None
            factor = norm.weight / (norm.running_var + norm.eps).sqrt()
            for part in ("weight", "bias", "running_mean", "running_var"):
                del state[f"{name}.norm.{part}"]
            state[f"{name}.convolution.weight"] = module.convolution.weight * factor[:, None, None, None]
            state[f"{name}.convolution.bias"] = norm.bias - norm.running_mean * factor
    result.load_state_dict(state)
    return result.eval()


def _within(value: Tensor, limits: tuple[float, float]) -> Tensor:
    """Log spread kept within limits smoothly, so that it never stops learning."""
    low, high = torch.tensor(limits).log().tolist()
    return low + (high - low) * torch.sigmoid(4 * (value - (low + high) / 2) / (high - low))
