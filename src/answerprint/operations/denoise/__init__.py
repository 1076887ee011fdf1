"""Takes noise out of footage with a temporal network that is told how strong the noise is in every pixel.

Analysis measures the noise of a shot: its level per channel and luma band, how far it reaches, and the share of
impulses (salt and pepper, dropouts); how, noise/measure.py says.

Rendering mends impulses, lays the neighbors of a frame onto it along their motion (noise/merge.py), lays out the
noise that is left in every pixel, and runs the network of nets/denoise.py, where its sources are named. `--model` puts
in its place one of the paper's three networks (nets/gan.py, densenet.py, cyclegan.py) or another single-picture
network, which are told nothing and see one frame at a time. `--refine` filters what came out once more, blocks that
look alike together (noise/blocks.py).

What is taken out is bounded: 3.5 standard deviations of the noise at most, and less where the noise is near the
network's own error.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.color import spaces
from answerprint.errors import WeightsError
from answerprint.frame import Frame, Shot
from answerprint.inference import weights
from answerprint.nets import denoise as nets
from answerprint.noise import blocks, impulse, merge, synth
from answerprint.noise import measure as noise
from answerprint.operation import windows
from answerprint.operations.denoise import single
from answerprint.settings import Settings

ENOUGH = 1 << 21  # pixels that noise is measured on
CLEAN = 0.002  # below half a code value of 8 bits there is nothing that a master would show
FARTHEST = 3.5  # deviations: what lies farther off is no noise, whatever the network thinks
OWN_ERROR = 0.006  # of the network where there is hardly any noise


class Params(Settings):
    """How much of the noise goes."""

    strength: float = Field(1.0, ge=0, le=2, description="1 takes out what was measured, 0 nothing; 2 assumes twice.")
    luma: float = Field(1.0, ge=0, le=1, description="Share of the luma noise that is taken out.")
    chroma: float = Field(1.0, ge=0, le=1, description="Share of the color noise that is taken out.")
    neighbors: int = Field(
        2, ge=0, le=4, description="Frames on each side that are laid onto a frame along its motion; 0 for none."
    )
    keep_grain: float = Field(0.0, ge=0, le=1, description="Share of grain put back, of the measured level and reach.")
    refine: bool = Field(
        False, description="Goes over blocks that look alike together once more: somewhat nearer, several times slower."
    )
    model: Literal["ours", "gan", "densenet", "cyclegan"] | Path = Field(
        "ours", description="Ours, one of the paper's three, or a file of weights: ours, or a model spandrel reads."
    )


class Findings(Settings):
    """The noise of a shot."""

    red: tuple[float, float, float, float] = Field(
        (0, 0, 0, 0), description="Deviation of the noise in red where luma is about 1/8, 3/8, 5/8, 7/8."
    )
    green: tuple[float, float, float, float] = Field((0, 0, 0, 0), description="The same in green.")
    blue: tuple[float, float, float, float] = Field((0, 0, 0, 0), description="The same in blue.")
    reach: float = Field(0.0, ge=0, le=4, description="Pixels over which the noise hangs together; 0 is white noise.")
    impulses: float = Field(0.0, ge=0, le=1, description="Share of pixels that are black or white impulses.")

    @property
    def levels(self) -> Tensor:
        """(3, 4): channel, luma band."""
        return torch.tensor([self.red, self.green, self.blue], dtype=torch.float32)


def handles(params: Params) -> int:
    """As many neighbors as have a say in a frame."""
    network = _network(params.model)
    return network.radius + params.neighbors if isinstance(network, nets.Denoiser) else 0


def cost(params: Params) -> float:
    """By the network; the refinement filters blocks along motion."""
    network = {"ours": 1.0, "gan": 0.1, "densenet": 0.5, "cyclegan": 0.1}.get(str(params.model), 1.0)
    return network + (11.0 if params.refine else 0.0)


def networks(params: Params) -> tuple[str, ...]:
    """The network of that model, unless it is a file."""
    if isinstance(params.model, Path):
        return ()
    return (_name(params.model),)


def _name(model: str) -> str:
    return "denoise" if model == "ours" else model


def analyze(shot: Shot, params: Params, device: torch.device) -> Findings:  # noqa: ARG001 - the contract
    """Measures the noise on pairs of frames spread through the shot."""
    _network(params.model)  # weights that are missing are told before any work
    measured = [noise.measure(*_pair(shot, position)) for position in shot.positions(5)]
    levels = np.median([found.levels for found in measured], axis=0)
    red, green, blue = (tuple(round(float(level), 5) for level in channel) for channel in levels)
    return Findings.of(
        {
            "red": red,
            "green": green,
            "blue": blue,
            "reach": round(float(np.median([found.reach for found in measured])), 2),
            "impulses": round(float(np.median([found.impulses for found in measured])), 5),
        }
    )


def run(frames: Iterator[Frame], params: Params, findings: Findings, device: torch.device) -> Iterator[Frame]:
    """Each frame without its noise; footage that was clean is left as it is."""
    if params.strength == 0 or (float(findings.levels.max()) < CLEAN and findings.impulses < noise.FEWEST_IMPULSES):
        yield from frames
        return
    network = _network(params.model)
    if isinstance(network, nets.Denoiser):
        yield from _told_noise(frames, network, params, findings, device)
        return
    clean = _cleaner(network, device)
    for frame in frames:
        made = clean(frame.pixels)
        if params.refine:
            made = _refined(_noisy(frame, params, findings), made, findings)
        yield frame.with_pixels(_finished(frame, made, params, findings))


def _told_noise(
    frames: Iterator[Frame], network: nets.Denoiser, params: Params, findings: Findings, device: torch.device
) -> Iterator[Frame]:
    """Our network: it sees the neighbors and is told the noise of every pixel."""
    streamed = _streamed(network, device)
    held: list[Frame] = []
    joined: list[merge.NoisyFrame] = []

    def noted() -> Iterator[tuple[Tensor, ...]]:
        seen: dict[Fraction, merge.NoisyFrame] = {}
        for window in windows(frames, params.neighbors):
            held.append(window.center)
            shown = window.frames[window.first : len(window.frames) - window.last]
            seen = {frame.time: seen.get(frame.time) or _noisy(frame, params, findings) for frame in shown}
            own = window.center.time
            pixels, sigma = merge.merge(seen[own], [seen[t] for t in seen if t != own], findings.reach)
            if params.refine:
                joined.append(merge.NoisyFrame(pixels, sigma))
            yield pixels[None], sigma[None], _reach_plane(pixels, findings)

    for clean in streamed.frames(noted()):
        frame = held.pop(0)
        # Worked out again rather than kept: planes of frames on their way are most of what a large picture takes.
        mended, sigma = _told(frame.pixels, params, findings)
        if params.refine:
            clean = _refined(joined.pop(0), clean[0], findings)[None]
        found = torch.clamp(clean[0].cpu() - mended, -FARTHEST * sigma, FARTHEST * sigma)
        # Near nothing the network's own error is the larger one: each counts by how sure it is.
        found = found * (sigma**2 / (sigma**2 + OWN_ERROR**2))
        yield frame.with_pixels(_finished(frame, mended + found, params, findings))


def _refined(noisy: merge.NoisyFrame, clean: Tensor, findings: Findings) -> Tensor:
    """The result (3, H, W) of the network, filtered in stacks of blocks with its input; small pictures as they are."""
    if min(clean.shape[-2:]) < blocks.SMALLEST:
        return clean
    sigma = noisy.sigma.to(clean)
    known = sigma < 1
    level = torch.where(known, sigma, sigma[known].mean() if known.any() else 0)
    pixels = torch.where(known, noisy.pixels.to(clean), clean)
    return blocks.filter_stacks(pixels, clean, level, findings.reach)


def _pair(shot: Shot, position: int) -> tuple[Tensor, Tensor | None]:
    frames = [_bands(frame.pixels) for frame in shot.frames(position, position + 2)]
    return frames[0], frames[1] if len(frames) > 1 else None


def _bands(picture: Tensor) -> Tensor:
    """A large picture's bands of whole blocks, spread from top to bottom: as many pixels as measuring needs."""
    height, width = picture.shape[-2:]
    rows = ENOUGH // width // (4 * noise.BLOCK) * noise.BLOCK
    if height * width <= ENOUGH or rows < noise.BLOCK:
        return picture
    starts = [i * (height - rows) // 3 for i in range(4)]
    return torch.cat([picture[:, start : start + rows] for start in starts], dim=1)


def _network(model: str | Path) -> nn.Module:
    stamp = weights.stamp("", model) if isinstance(model, Path) else weights.stamp(_name(model))
    return _built(model, stamp)


# Made ready once: that takes longer than a chunk of a job, or all of a short shot.
_streamed = lru_cache(maxsize=2)(nets.Streamed)
_cleaner = lru_cache(maxsize=2)(single.cleaner)


@lru_cache(maxsize=4)
def _built(model: str | Path, stamp: object) -> nn.Module:  # noqa: ARG001 - another file, another network
    if model == "ours":
        return nets.load()
    if isinstance(model, str):
        return single.load(model)
    try:
        return nets.load(model) if weights.kind(model) == "denoise" else single.read(model)
    except WeightsError as error:
        if model.exists():
            raise
        raise WeightsError(f"{error}; --model takes ours, gan, densenet, cyclegan or a file") from None


def _noisy(frame: Frame, params: Params, findings: Findings) -> merge.NoisyFrame:
    return merge.NoisyFrame(*_told(frame.pixels, params, findings))


def _told(pixels: Tensor, params: Params, findings: Findings) -> tuple[Tensor, Tensor]:
    """The picture with impulses mended, and the noise level of every pixel."""
    scale = max(params.strength, 1.0)
    hit = torch.zeros_like(pixels, dtype=torch.bool)
    if findings.impulses >= noise.FEWEST_IMPULSES:
        hit = noise.find_impulses(pixels, float(findings.levels.mean()), findings.impulses)
    mended = impulse.mend(pixels, hit)
    return mended, torch.where(hit, 1.0, level_map(mended, findings) * scale)


def _reach_plane(pixels: Tensor, findings: Findings) -> Tensor:
    """How far the noise reaches, as the network takes it, (1, 1, H, W)."""
    return torch.full((1, 1, 1, 1), findings.reach / 4).expand(1, 1, *pixels.shape[-2:])


def level_map(picture: Tensor, findings: Findings) -> Tensor:
    """Standard deviation of the noise at every pixel, (3, H, W): the bands' levels at its smoothed luma."""
    height, width = picture.shape[-2:]
    # In strips, with the two rows that smoothing sees beyond them: a dozen planes of a large picture are too many.
    tall, strips = max(ENOUGH // width, 1), []
    for top in range(0, height, tall):
        above, below = min(top, 2), min(top + tall + 2, height)
        strips.append(_levels_at(picture[:, top - above : below], findings)[:, above : above + tall])
    return torch.cat(strips, dim=1)


def _levels_at(picture: Tensor, findings: Findings) -> Tensor:
    bands = noise.BANDS
    luma = spaces.luma(picture)
    smooth = F.avg_pool2d(luma[None], 5, 1, 2, count_include_pad=False)[0, 0].clamp(bands[0], bands[-1])
    place = (smooth - bands[0]) / (bands[1] - bands[0])
    below = place.floor().clamp(max=len(bands) - 2).long()
    share = place - below
    levels = findings.levels.to(picture.device)
    return levels[:, below] * (1 - share) + levels[:, below + 1] * share


def _finished(frame: Frame, clean: Tensor, params: Params, findings: Findings) -> Tensor:
    """The pixels (3, H, W) with the chosen shares of luma and color noise taken out, and grain put back."""
    change = clean - frame.pixels
    luma = spaces.luma(change)
    change = min(params.strength, 1.0) * (params.luma * luma + params.chroma * (change - luma))
    if params.keep_grain:
        change = change + params.keep_grain * _grain(frame, clean, findings)
    return frame.pixels + change


def _grain(frame: Frame, clean: Tensor, findings: Findings) -> Tensor:
    """Gray grain of the measured level and reach, drawn from the frame's time: the same however the shot is cut up."""
    rng = np.random.default_rng([abs(frame.time.numerator), frame.time.denominator])
    level = spaces.luma(level_map(clean, findings))
    return synth.correlated((1, frame.height, frame.width), findings.reach, rng) * level
