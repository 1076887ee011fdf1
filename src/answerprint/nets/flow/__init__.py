"""Optical flow: match all cells of 1/8 size by attention, then refine; at most 1.4 million parameters.

After section 3.2 of Wang (2025): convolutions to 1/8, transformer blocks whose keys are max and mean pooled (hybrid
pooling attention), a 4D cost volume (eq. 4), a dual softmax as the confidence of a match (LoFTR, Sun et al. 2021), the
argmax (eq. 5) with an expectation over its 5x5 surroundings, and the recurrent refinement of RAFT (Teed and Deng 2020)
with convex upsampling. Beyond the paper, each update may choose, cell by cell, between its own flow, a hint from
another method (dense inverse search) and confident matches nearby, before it adds what it found; and it tells a mixture
of two Laplace densities for its error (SEA-RAFT, Wang et al. 2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.inference import weights
from answerprint.settings import Settings

CELL = 8  # pixels along the side of a cell
HINT_REACH = 2  # radius of the lookup round the hint, in cells
NEAR = 2  # radius of the expectation round the best match, in cells
EVIDENCE = 18  # planes that the judge reads
INFO = 4  # channels that describe the error: two weights, two log widths
# Choice and info before anything is learned: the hint, errors of 10 pixels. Learned, they would be all that is learned.
TYPICAL = (0.0, 1.5, 0.0, 0.0, 0.0, 0.0, 2.3)
TINY = 1e-36  # least sum of scores that differ by less than 80
LOG_WIDTH = 6.0  # largest log of the wide Laplace density: 400 pixels


class Config(Settings):
    """Everything needed to build the network again."""

    width: int = Field(96, ge=16, multiple_of=16, description="Channels of features and of the hidden state.")
    stem: int = Field(64, ge=8, multiple_of=8, description="Channels at 1/4 size.")
    blocks: int = Field(
        4, ge=2, multiple_of=2, description="Attention blocks: within a picture, then across, in turns."
    )
    heads: int = Field(4, ge=1, description="Heads of an attention.")
    pool: int = Field(4, ge=1, description="Cells along the side of a pooled key.")
    reach: int = Field(4, ge=1, description="Radius of the lookup in cells.")
    motion: int = Field(64, ge=8, multiple_of=8, description="Channels that describe the lookup.")
    context: int = Field(48, ge=8, multiple_of=8, description="Channels of the first picture that every update reads.")
    judge: int = Field(32, ge=8, multiple_of=8, description="Channels of the judge.")
    large: int = Field(5120, ge=64, description="Number of cells from which on matching is at 1/16 size.")


@dataclass(frozen=True)
class Match:
    """The best match of every cell of the first picture.

    Attributes:
        flow: (B, 2, h, w) in cells, x then y.
        confidence: (B, 1, h, w), dual softmax of the match, 0..1.
    """

    flow: Tensor
    confidence: Tensor


@dataclass(frozen=True)
class FlowUpdate:
    """What one update came to.

    Attributes:
        flow: (B, 2, h, w) in pixels.
        info: (B, 4, h, w), see `log_density`.
        choice: (B, 3, h, w) logits of the flows to go on from.
        candidates: (B, 3, 2, h, w) those flows in pixels: the own one, the hint, confident matches around.
    """

    flow: Tensor
    info: Tensor
    choice: Tensor
    candidates: Tensor


@dataclass(frozen=True)
class Estimate:
    """Flow from the first picture to the second.

    Attributes:
        flow: (B, 2, H, W) in pixels, x then y.
        info: (B, 4, H, W), see `log_density`.
        match: of the coarse stage.
        steps: one for each update.
        logs: log of the dual softmax at 1/8 and 1/16 size, as scores (B, n, n), row sums and column sums (B, n).
    """

    flow: Tensor
    info: Tensor
    match: Match
    steps: tuple[FlowUpdate, ...]
    logs: tuple[tuple[Tensor, Tensor, Tensor], ...]


class Attention(nn.Module):
    """Hybrid pooling attention: every cell asks, keys and values are max plus mean pooled; then two linear layers."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width
        self.heads, self.pool = config.heads, config.pool
        self.before, self.beside, self.between = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.mix = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """`x` and `other` are (B, h, w, C) cells; what `other` shows is added to `x`."""
        batch, height, width, channels = x.shape
        # Places are for asking only: features that held them would match what stands still, and learn nothing else.
        pooled = self.beside(self._pooled(other))
        query = self._split(self.query(self.before(x) + _places(x)).flatten(1, 2))
        key = self._split(self.key(pooled + _places(pooled)).flatten(1, 2))
        value = self._split(self.value(pooled).flatten(1, 2))
        # Few keys: plain products are twice as fast on a CPU as the fused attention is.
        share = (query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])).softmax(-1)
        answer = (share @ value).transpose(1, 2)
        x = x + self.out(answer.reshape(batch, height, width, channels))
        result: Tensor = x + self.mix(self.between(x))
        return result

    def _pooled(self, cells: Tensor) -> Tensor:
        planes = cells.permute(0, 3, 1, 2)
        pooled = F.max_pool2d(planes, self.pool) + F.avg_pool2d(planes, self.pool)
        return pooled.permute(0, 2, 3, 1)

    def _split(self, cells: Tensor) -> Tensor:
        return cells.view(*cells.shape[:2], self.heads, -1).transpose(1, 2)


class FlowEncoder(nn.Module):
    """Features of a pair of pictures at 1/8 size, each with what it knows of the other."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        stem, width = config.stem, config.width
        self.stem = nn.Sequential(
            nn.Conv2d(48, stem, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(stem, stem, 3, padding=1),
            nn.GELU(),
        )
        self.down = nn.Sequential(nn.Conv2d(stem, width, 3, stride=2, padding=1), nn.GELU())
        self.deeper = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1)
        )
        self.blocks = nn.ModuleList(Attention(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.match = nn.Linear(width, width)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of pictures (2 B, 3, H, W), first ones before second ones.

        Returns:
            Cells (2 B, h, w, C), what of them is matched, and planes of the first pictures at 1/4 size.
        """
        fine = self.stem(F.pixel_unshuffle(pictures, 4).contiguous(memory_format=torch.channels_last))
        near = self.down(fine)
        near = near + self.deeper(near)
        cells = near.permute(0, 2, 3, 1)
        for index, block in enumerate(self.blocks):
            cells = block(cells, cells if index % 2 == 0 else cells.roll(len(cells) // 2, 0))
        cells = self.norm(cells)
        return cells, self.match(cells), fine[: len(fine) // 2]


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, h, w): without it, updates saturate their gates for good."""

    def forward(self, planes: Tensor) -> Tensor:
        return super().forward(planes.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Updater(nn.Module):
    """One update of the flow; its weights are shared by all updates."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, motion, context = config.width, config.motion, config.context
        looks = 2 * (2 * config.reach + 1) ** 2 + (2 * HINT_REACH + 1) ** 2
        self.looks = ChannelNorm(looks)
        self.describe = nn.Sequential(
            nn.Conv2d(looks + 11, width, 1),
            nn.GELU(),
            nn.Conv2d(width, motion, 3, padding=1),
            ChannelNorm(motion),
            nn.GELU(),
        )
        self.gather = nn.Sequential(
            nn.Conv2d(width + motion + context, width, 3, padding=1), ChannelNorm(width), nn.GELU()
        )
        self.gate = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.fit = nn.Parameter(torch.full((3, 1, 1), 0.5))
        self.head = nn.Sequential(nn.Conv2d(width, 64, 3, padding=1), ChannelNorm(64), nn.GELU(), _silent(64, 5 + INFO))

    def forward(
        self, hidden: Tensor, context: Tensor, looks: tuple[Tensor, Tensor], scores: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The next hidden state, and (B, 9, h, w): change of the flow, three choices, info.

        Args:
            hidden: the state before.
            context: what the first picture shows.
            looks: lookups, and offsets of the flows there are to choose from.
            scores: (B, 3, h, w) of those flows, at most 0; the choice begins with them.
        """
        planes = torch.cat((self.looks(looks[0]), looks[1], scores / 4), 1)
        joint = self.gather(torch.cat((hidden, context, self.describe(planes)), 1))
        openness, content = self.gate(joint).chunk(2, 1)
        openness = torch.sigmoid(openness)
        hidden = (1 - openness) * hidden + openness * torch.tanh(content)
        change = self.head(hidden).float()
        rest = 4 * change[:, 2:] + change.new_tensor(TYPICAL).view(-1, 1, 1)
        return hidden, torch.cat((change[:, :2], rest[:, :3] + self.fit * scores, rest[:, 3:]), 1)


class Judge(nn.Module):
    """Says, at 1/4 size, how likely two flows of a pair are right, and which of them to take."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.judge
        self.layers = nn.Sequential(
            nn.Conv2d(EVIDENCE, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=2, dilation=2),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=4, dilation=4),
            nn.GELU(),
            _silent(width, 3),
        )

    def forward(self, evidence: Tensor, prior: Tensor) -> Tensor:
        """Logits (B, 3, h, w): first flow within a pixel of the truth, second flow so, first better than second.

        Args:
            evidence: (B, EVIDENCE, h, w), see motion/evidence.py.
            prior: logits (B, 3, h, w) that the layers correct; untrained they leave them as they are.
        """
        corrected: Tensor = prior + self.layers(evidence).float()
        return corrected


class FlowNet(nn.Module):
    """Pairs of pictures in, flow out; sizes are multiples of `self.multiple`."""

    multiple = 32

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.encoder = FlowEncoder(config)
        self.start = nn.Conv2d(width, width + config.context, 1)
        self.updater = Updater(config)
        self.edges = nn.Conv2d(4 * config.stem, 48, 1)
        self.finer = nn.Sequential(
            nn.Conv2d(width + 48, 128, 3, padding=1), nn.GELU(), nn.Conv2d(128, 9 * CELL * CELL, 1)
        )
        self.judge = Judge(config)

    def forward(
        self, first: Tensor, second: Tensor, hint: Tensor | None = None, updates: int = 4, coarse: bool | None = None
    ) -> Estimate:
        """Flow from `first` to `second`.

        Args:
            first: (B, 3, H, W) in 0..1.
            second: the same.
            hint: flow of another method, (B, 2, H / 8, W / 8) in pixels; NaN where there is none.
            updates: number of updates, at least 1.
            coarse: match at 1/16 size; where None, for large pictures only.
        """
        cells, features, fine = self.encoder(normalized(first, second))
        with torch.autocast(first.device.type, enabled=False):
            one, two = (part.float() for part in features.chunk(2))
            volumes = _volume(one, two), _volume(_halved(one), _halved(two))
            height, width = one.shape[1:3]
            coarse = height * width >= self.config.large if coarse is None else coarse
            wanted = (0, 1) if torch.is_grad_enabled() else (int(coarse),)
            logs = tuple(_logs(volumes[level]) for level in wanted)
            match = (
                _doubled(_matched(logs[-1], height // 2, width // 2)) if coarse else _matched(logs[0], height, width)
            )
        steps, hidden = self._refined(cells[: len(first)], volumes, match, hint, updates)
        logits = self.finer(torch.cat((hidden, F.gelu(self.edges(F.pixel_unshuffle(fine, 2)))), 1))
        with torch.autocast(first.device.type, enabled=False):
            last = torch.cat((steps[-1].flow, steps[-1].info), 1)
            flow, info = torch.split(_upsampled(last, logits.float()), [2, INFO], 1)
        return Estimate(flow, info, match, tuple(steps), logs)

    def _refined(
        self, cells: Tensor, volumes: tuple[Tensor, Tensor], match: Match, hint: Tensor | None, updates: int
    ) -> tuple[list[FlowUpdate], Tensor]:
        """What each update came to, and the hidden state after the last."""
        planes = cells.permute(0, 3, 1, 2)
        hidden, context = torch.split(self.start(planes), [self.config.width, self.config.context], 1)
        hidden, context = torch.tanh(hidden), F.gelu(context)
        hint = torch.full_like(match.flow, math.nan) if hint is None else hint.float() / CELL
        exists = hint.isfinite().all(1, keepdim=True)
        hint = torch.where(exists, hint, match.flow)
        around, flow, middle = _filled(match), match.flow, 2 * self.config.reach * (self.config.reach + 1)
        of_hint, of_around = (_lookup(volumes[0], candidate, 0) for candidate in (hint, around))
        given, known = _lookup(volumes[0], hint, HINT_REACH) * exists, torch.cat((match.confidence, exists.float()), 1)
        steps = []
        for _ in range(updates):
            flow = flow.detach()
            offsets = torch.cat((_compressed(torch.cat((hint - flow, around - flow, flow / 4), 1)), known), 1)
            wide = _lookup(volumes[1], F.avg_pool2d(flow, 2) / 2, self.config.reach)
            near = _lookup(volumes[0], flow, self.config.reach)
            looks = torch.cat((near, F.interpolate(wide, scale_factor=2.0, mode="nearest"), given), 1)
            scores = torch.cat((near[:, middle : middle + 1], of_hint, of_around), 1)
            scores = scores - scores.amax(1, keepdim=True)
            hidden, change = self.updater(hidden, context, (looks, offsets), scores)
            delta, choice, info = torch.split(change, [2, 3, INFO], 1)
            candidates = torch.stack((flow, hint, around), 1)
            # One of them and no mean: halfway between two motions there is none.
            best = choice.argmax(1)[:, None, None].expand_as(candidates[:, :1])
            flow = candidates.gather(1, best)[:, 0] + delta
            steps.append(FlowUpdate(flow * CELL, info, choice, candidates * CELL))
        return steps, hidden


def normalized(first: Tensor, second: Tensor) -> Tensor:
    """Both pictures, (2 B, 3, H, W), less the mean of each pair and divided by its standard deviation."""
    pair = torch.stack((first, second)).float()
    mean = pair.mean((0, 3, 4), keepdim=True)
    spread = (pair - mean).square().mean((0, 2, 3, 4), keepdim=True).sqrt()
    return ((pair - mean) / (spread + 0.02)).flatten(0, 1)


def log_density(error: Tensor, info: Tensor) -> Tensor:
    """Log of the density of an error, (B, 1, H, W): a mixture of two Laplace densities, one of width 1 pixel.

    Args:
        error: (B, 2, H, W) absolute differences in pixels.
        info: (B, 4, H, W), logits of the two shares, log widths (the first is not used).
    """
    shares = info[:, :2].log_softmax(1)
    wide = info[:, 3:4].clamp(0, LOG_WIDTH)
    distance = error.sum(1, keepdim=True)
    narrow = shares[:, :1] - distance - 2 * math.log(2)
    broad = shares[:, 1:] - distance * torch.exp(-wide) - 2 * wide - 2 * math.log(2)
    return torch.logaddexp(narrow, broad)


def spread(info: Tensor) -> Tensor:
    """Expected absolute error in pixels as the mixture tells it, (B, 1, H, W)."""
    shares = info[:, :2].softmax(1)
    return shares[:, :1] + shares[:, 1:] * info[:, 3:4].clamp(0, LOG_WIDTH).exp()


def grid(height: int, width: int, device: torch.device) -> Tensor:
    """x and y of every cell, (2, h, w)."""
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    return torch.stack((x, y)).float()


def load(path: Path | None = None) -> FlowNet:
    """The network with trained weights: those at `path`, else a user's own, else those that ship."""
    return weights.network("flow", Config, FlowNet, path)


def _silent(channels: int, outputs: int) -> nn.Conv2d:
    """A last layer that says nothing until it is trained."""
    layer = nn.Conv2d(channels, outputs, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def _places(cells: Tensor) -> Tensor:
    """Sine code of the place, (1, h, w, C); any size is stretched to 40 x 60 so that none is beyond those learned."""
    _, height, width, channels = cells.shape
    count = channels // 4
    rate = torch.exp(torch.arange(count, device=cells.device) * (-math.log(100.0) / count))
    y = torch.arange(height, device=cells.device)[:, None] * (40 / height) * rate
    x = torch.arange(width, device=cells.device)[:, None] * (60 / width) * rate
    rows = torch.cat((y.sin(), y.cos()), 1)[:, None].expand(height, width, 2 * count)
    columns = torch.cat((x.sin(), x.cos()), 1)[None].expand(height, width, 2 * count)
    return torch.cat((rows, columns), 2)[None]


def _volume(one: Tensor, two: Tensor) -> Tensor:
    """All pairs (B, n, n) of cells (B, h, w, C)."""
    return one.flatten(1, 2) @ two.flatten(1, 2).transpose(1, 2) / math.sqrt(one.shape[-1])


class _DualSums(torch.autograd.Function):
    """Logs of the sums of exp(volume) over the second and over the first picture: half the passes of two logsumexp."""

    @staticmethod
    def forward(ctx: Any, volume: Tensor) -> tuple[Tensor, Tensor]:
        top = volume.amax((1, 2), keepdim=True)
        scaled = (volume - top).exp_()
        rows, columns = scaled.sum(2).clamp_(min=TINY), scaled.sum(1).clamp_(min=TINY)
        ctx.save_for_backward(scaled, rows, columns)
        return rows.log() + top[:, 0], columns.log() + top[:, 0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        scaled, rows, columns = ctx.saved_tensors
        return torch.add((grads[0] / rows)[:, :, None], (grads[1] / columns)[:, None]).mul_(scaled)


def _logs(volume: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores and the logs of their sums over the second and over the first picture."""
    rows, columns = _DualSums.apply(volume)  # type: ignore[no-untyped-call]
    return volume, rows, columns


def _halved(cells: Tensor) -> Tensor:
    return F.avg_pool2d(cells.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


@torch.no_grad()
def _matched(logs: tuple[Tensor, Tensor, Tensor], height: int, width: int) -> Match:
    """The argmax of the dual softmax, moved to the expectation over its surroundings."""
    volume, rows, columns = logs
    joint = volume - columns[:, None] / 2
    best = joint.argmax(2)
    confidence = (2 * joint.gather(2, best[..., None])[..., 0] - rows).exp()
    steps = torch.arange(-NEAR, NEAR + 1, device=volume.device)
    y, x = (best // width)[..., None, None] + steps[:, None], (best % width)[..., None, None] + steps
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    index = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).flatten(2)
    share = (2 * joint.gather(2, index)).masked_fill(~inside.flatten(2), -math.inf).softmax(2).view_as(inside)
    place = torch.stack(((share * x).sum((2, 3)), (share * y).sum((2, 3))), 1).view(-1, 2, height, width)
    flow = place - grid(height, width, volume.device)
    return Match(flow, confidence.view(-1, 1, height, width))


def _doubled(match: Match) -> Match:
    """A match at 1/16 size in cells of 1/8."""
    flow = F.interpolate(match.flow * 2, scale_factor=2.0, mode="nearest")
    return Match(flow, F.interpolate(match.confidence, scale_factor=2.0, mode="nearest"))


def _compressed(offsets: Tensor) -> Tensor:
    """Offsets in cells, far ones on a log scale."""
    return offsets.sign() * offsets.abs().log1p()


@torch.no_grad()
def _filled(match: Match) -> Tensor:
    """Mean of the matches round each cell by their confidence, of a wider surrounding where there is none near."""
    planes = torch.cat((match.flow * match.confidence, match.confidence), 1)
    total = planes.mean((2, 3), keepdim=True) * 1e-4 + 1e-12
    for side, share in ((3, 1.0), (9, 0.03), (25, 0.001)):
        total = total + share * F.avg_pool2d(planes, side, 1, side // 2, count_include_pad=False)
    return total[:, :2] / total[:, 2:]


def _lookup(volume: Tensor, flow: Tensor, reach: int) -> Tensor:
    """Scores round where the flow (in cells) points, (B, (2 reach + 1)^2, h, w); 0 outside the second picture."""
    height, width = flow.shape[-2:]
    place = (flow + grid(height, width, flow.device)).flatten(2).clamp(-1e4, 1e4)
    whole = place.floor()
    right, down = (place - whole)[:, :, :, None, None].unbind(1)
    steps = torch.arange(-reach, reach + 2, device=flow.device)
    x = whole[:, 0, :, None, None].long() + steps
    y = whole[:, 1, :, None, None].long() + steps[:, None]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    window = volume.gather(2, index.flatten(2)).view_as(index) * inside
    window = window[..., :-1] * (1 - right) + window[..., 1:] * right
    window = window[..., :-1, :] * (1 - down) + window[..., 1:, :] * down
    return window.flatten(2).transpose(1, 2).reshape(len(volume), -1, height, width)


def _upsampled(planes: Tensor, logits: Tensor) -> Tensor:
    """Planes (B, C, h, w) at eight times the size, each pixel a convex mean of the 3x3 cells round it."""
    batch, channels, height, width = planes.shape
    share = logits.permute(0, 2, 3, 1).reshape(-1, 9, CELL * CELL).softmax(1)
    near = F.unfold(F.pad(planes, (1, 1, 1, 1), mode="replicate"), 3).transpose(1, 2)
    fine = near.reshape(-1, channels, 9) @ share
    whole: Tensor = F.pixel_shuffle(fine.view(batch, height, width, -1).permute(0, 3, 1, 2), CELL)
    return whole
