"""NCST's network: a shot and a reference in, grading parameters out; and the encoders that it sees pictures through.

"Neural-based Color Style Transfer for Video Retouching" (Jiang, Chen, Zhang, Wang and Wen 2023), section 3.1: content
and style go through a frozen VGG-type encoder (relu1_1, 2_1, 3_1, 4_1); their features are worked on by convolutions at
each scale, fused by AdaIN (Huang and Belongie 2017) and brought to one size by adaptive average pooling. AdaIN gives
the content the style's mean, which pooling alone would then find again whatever the content: mean and deviation of
both, before fusion, are pooled beside it. Two heads give vectors that are zero where the grade is neutral
(`color/values.py` bounds them): the paper's seven parameters, and CDL with tone curves.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint import disk
from answerprint.color import style, values
from answerprint.errors import WeightsError
from answerprint.inference import weights
from answerprint.settings import Settings

EXTENDED = (*values.CDL, *values.CURVES)


# ---- encoders


class EncoderConfig(Settings):
    """Everything needed to build an encoder again."""

    widths: tuple[int, ...] = Field((16, 32, 64, 128), description="Channels at relu1_1, 2_1, 3_1, 4_1.")
    between: tuple[int, ...] = Field(
        (1, 1, 1), description="Convolutions after each of the first three, before pooling."
    )
    mean: tuple[float, float, float] = Field((0.5, 0.5, 0.5), description="Taken from R', G', B'.")
    deviation: tuple[float, float, float] = Field((0.25, 0.25, 0.25), description="What they are divided by.")


VGG19 = EncoderConfig(
    widths=(64, 128, 256, 512), between=(1, 1, 3), mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225)
)
# torchvision's vgg19-dcbb9e9d.pth: convolutions up to conv4_1 in its `features`.
_VGG19_LAYERS = (0, 2, 5, 7, 10, 12, 14, 16, 19)


class Encoder(nn.Module):
    """Features of a picture at four scales, as VGG has them (Simonyan and Zisserman 2015)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(config.deviation).view(3, 1, 1), persistent=False)
        layers: list[nn.Conv2d] = []
        before = 3
        for width, more in zip(config.widths, (*config.between, 0), strict=True):
            layers += [
                nn.Conv2d(before, width, 3, padding=1),
                *(nn.Conv2d(width, width, 3, padding=1) for _ in range(more)),
            ]
            before = width
        self.layers = nn.ModuleList(layers)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in 0..1 to relu1_1, relu2_1, relu3_1, relu4_1: (N, C, H / 2^i, W / 2^i)."""
        features, x = [], (pixels - self.mean) / self.deviation
        layers = iter(self.layers)
        for index, more in enumerate((*self.config.between, 0)):
            if index:
                # A picture of a pixel or two stays that small.
                x = F.max_pool2d(x, 2, ceil_mode=True)
            x = F.relu(next(layers)(x))
            features.append(x)
            for _ in range(more):
                x = F.relu(next(layers)(x))
        return features


def shipped_encoder(path: Path | None = None) -> Encoder:
    """The small encoder that ships, frozen.

    Raises:
        WeightsError: it cannot be loaded.
    """
    encoder = weights.network("encoder", EncoderConfig, Encoder, path)
    return encoder.requires_grad_(False).eval()


def vgg19(source: str | Path, sha256: str, folder: Path | None = None) -> Encoder:
    """torchvision's VGG-19 up to relu4_1, frozen, from a file or URL; it ships under its own licence, not with us.

    Args:
        source: a `.pth` (opened without its pickle's code) or `.safetensors`, or a URL of one.
        sha256: what the file must hash to; the beginning that torchvision puts into its names is enough ("dcbb9e9d").
        folder: where a download is kept; the user's weights folder by default.

    Raises:
        WeightsError: it cannot be had, is another file, or no VGG-19.
    """
    if len(sha256) < 8:
        raise WeightsError(f"SHA-256 '{sha256}' of VGG-19 is too short to trust; give 8 digits at least")
    path = _downloaded(str(source), folder or weights.added()) if "://" in str(source) else Path(source)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    digest = disk.digest(path)
    if not digest.startswith(sha256.lower()):
        raise WeightsError(f"{path}: its SHA-256 is {digest[:16]}..., expected {sha256}; get it again")
    encoder = Encoder(VGG19)
    encoder.load_state_dict(_from_torchvision(_state(path), path))
    return encoder.requires_grad_(False).eval()


def _downloaded(url: str, folder: Path) -> Path:
    path = folder / url.rpartition("/")[2]
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with urllib.request.urlopen(url) as answer, part.open("wb") as file:
            while block := answer.read(1 << 20):
                file.write(block)
    except OSError as error:
        raise WeightsError(f"{url}: cannot be downloaded ({error})") from None
    disk.publish(part, path)
    return path


def _state(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
            return tensors
        state: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a broken file makes the readers raise
        raise WeightsError(f"{path}: cannot be read as weights ({str(error).splitlines()[0]})") from None
    return state


def _from_torchvision(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    renamed = {}
    for index, layer in enumerate(_VGG19_LAYERS):
        for kind in ("weight", "bias"):
            key = f"features.{layer}.{kind}"
            if key not in state:
                raise WeightsError(f"{path}: no '{key}' in it; this is not torchvision's VGG-19")
            renamed[f"layers.{index}.{kind}"] = state[key]
    expected = Encoder(VGG19).state_dict()
    wrong = [key for key, value in renamed.items() if value.shape != expected[key].shape]
    if wrong:
        raise WeightsError(f"{path}: '{wrong[0]}' has shape {tuple(renamed[wrong[0]].shape)}; this is not VGG-19")
    return renamed


# ---- the network


class Config(Settings):
    """Everything needed to build the network again."""

    encoder: EncoderConfig = Field(EncoderConfig(), description="The frozen encoder.")
    width: int = Field(32, ge=1, description="Channels that each scale is brought to.")
    hidden: int = Field(96, ge=1, description="Width of the layer before the heads.")


class LookNet(nn.Module):
    """Content and style to the free vectors of both heads; the encoder is part of it and stays as it is."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder).requires_grad_(False)
        self.scales = nn.ModuleList(nn.Conv2d(width, config.width, 3, padding=1) for width in config.encoder.widths)
        self.fused = nn.ModuleList(nn.Conv2d(config.width, config.width, 3, padding=1) for _ in config.encoder.widths)
        pooled = len(config.encoder.widths) * config.width * 5
        self.hidden = nn.Sequential(nn.Linear(pooled, config.hidden), nn.ReLU())
        self.seven = _neutral(nn.Linear(config.hidden, len(values.SEVEN) + 1))
        self.extended = _neutral(nn.Linear(config.hidden, sum(values.sizes(EXTENDED).values())))

    def forward(self, content: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (N, 3, H, W) and (N, 3, h, w) to free vectors.

        Returns:
            (N, 7) in the order of `values.SEVEN`, then sharpness; (N, 31) in the order of `EXTENDED`.
        """
        pooled = []
        pairs = zip(self.encoder(content), self.encoder(reference), self.scales, self.fused, strict=True)
        for ours, theirs, scale, fused in pairs:
            ours, theirs = F.relu(scale(ours)), F.relu(scale(theirs))
            mixed = F.relu(fused(adain(ours, theirs)))
            pooled += [F.adaptive_avg_pool2d(mixed, 1).flatten(1)]
            pooled += [measure(side) for side in (ours, theirs) for measure in (_mean, _deviation)]
        hidden = self.hidden(torch.cat(pooled, 1))
        return self.seven(hidden), self.extended(hidden)


def adain(content: Tensor, reference: Tensor) -> Tensor:
    """The content's features with the reference's mean and deviation per channel (Huang and Belongie 2017, eq. 8)."""
    c_mean, c_deviation, r_mean, r_deviation = (
        measure(x)[..., None, None] for x in (content, reference) for measure in (_mean, _deviation)
    )
    return (content - c_mean) / c_deviation * r_deviation + r_mean


def _mean(features: Tensor) -> Tensor:
    return features.mean((2, 3))


def _deviation(features: Tensor) -> Tensor:
    return (features.var((2, 3), correction=0) + 1e-5).sqrt()


def _neutral(head: nn.Linear) -> nn.Linear:
    """A head that begins at the neutral grade."""
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def stylized(pixels: Tensor, free: Tensor) -> Tensor:
    """The grade of one head's free vectors (N, 7) or (N, 31), on pictures (N, 3, H, W)."""
    if free.shape[1] == len(values.SEVEN) + 1:
        graded = values.apply(pixels, values.bound(free[:, :-1], values.SEVEN))
        return sharpened(graded, torch.tanh(free[:, -1]))
    return values.apply(pixels, values.bound(free, EXTENDED))


def sharpened(pixels: Tensor, amount: Tensor) -> Tensor:
    """Unsharp masking by a 3x3 window, (N, 3, H, W); `amount` (N,), 0 is neutral, below 0 softens."""
    blurred = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return pixels + (pixels - blurred) * amount[:, None, None, None]


@dataclass(frozen=True)
class Judged:
    """The losses of one grade."""

    total: Tensor
    style: Tensor
    content: Tensor
    color: Tensor


def judge(
    encoder: Encoder, graded: Tensor, content: Tensor, reference: Tensor, parts: style.LossWeights | None = None
) -> Judged:
    """Equations 1 to 6 for pictures (N, 3, H, W); content and graded have one size."""
    with torch.no_grad():
        of_content, of_reference = encoder(content), encoder(reference)
    of_graded = encoder(graded)
    first, second = style.style_loss(of_graded, of_reference), style.content_loss(of_graded, of_content)
    third = style.histogram_loss(graded, reference)
    return Judged(style.total_loss(first, second, third, parts or style.LossWeights()), first, second, third)


def load(path: Path | None = None) -> LookNet:
    """The trained network.

    Raises:
        WeightsError: it cannot be loaded.
    """
    return weights.network("look", Config, LookNet, path)


def predict(network: LookNet, contents: Sequence[Tensor], reference: Tensor, extended: bool) -> Tensor:
    """One free vector for pictures (3, H, W) of one shot: the mean of what the network says of each."""
    network.eval()
    with torch.no_grad():
        vectors = [network(content[None], reference[None])[int(extended)] for content in contents]
    return torch.cat(vectors).mean(0)


@dataclass(frozen=True)
class Schedule:
    """Length, learning rate and seed of tuning."""

    iterations: int = 500
    rate: float = 1e-4
    seed: int = 0


def tune(
    network: LookNet, contents: Sequence[Tensor], reference: Tensor, extended: bool, schedule: Schedule | None = None
) -> int:
    """Test-on-time training (section 3.3): tunes the network on one shot and one reference by the paper's losses.

    One picture a step, Adam. Ends when fifty steps bring less than a hundredth.

    Args:
        network: changed in place.
        contents: pictures of the shot, (3, H, W) each.
        reference: (3, H, W).
        extended: which head: CDL with tone curves, else the paper's seven parameters.
        schedule: the paper's where None.

    Returns:
        How many iterations it took.
    """
    schedule = schedule or Schedule()
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, schedule.rate)
    losses: list[float] = []
    generator = torch.Generator().manual_seed(schedule.seed)
    for step in range(schedule.iterations):
        content = contents[int(torch.randint(len(contents), (1,), generator=generator))][None]
        graded = stylized(content, network(content, reference[None])[int(extended)])
        loss = judge(network.encoder, graded, content, reference[None]).total
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        if step >= 149 and step % 50 == 49 and sum(losses[-50:]) > 0.99 * sum(losses[-100:-50]):
            return step + 1
    return schedule.iterations
