"""Trains optical flow: pairs of moving layers with exact truth (train/flights.py), beside what inverse search finds.

Each update is judged by the likelihood of its error under a mixture of two Laplace densities (SEA-RAFT, Wang et al.
2024), later updates more (RAFT, Teed and Deng 2020); the match by the cross-entropy of the true cell, where it is seen.
A run continues with more `--steps`: the rate then rises again to where the longer schedule has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from answerprint.metrics import motion
from answerprint.motion import evidence
from answerprint.nets.flow import CELL, Config, Estimate, FlowNet, FlowUpdate, grid, log_density
from answerprint.nets.flow.estimate import estimates, judged
from answerprint.train import flights
from answerprint.train.data import Library
from answerprint.train.params import Training
from answerprint.train.recipe import Batch, Networks, Update, Validation

SHIPS = "flow"
TINY = {"width": 16, "validation_samples": 3, "shares": (1.0, 0.0, 0.0)}
VALIDATION_SIZE = (256, 320)  # height and width of the pairs of a validation


class Params(Training):
    """Options of the run."""

    steps: int = Field(12_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(4e-4, gt=0, le=1, description="Highest learning rate.")
    warm_up: int = Field(300, ge=0, description="Steps over which the learning rate rises from 0.")
    final_rate: float = Field(0.05, ge=0, le=1, description="Learning rate at the end, as a share of the highest.")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="Weight decay.")
    batch: int = Field(4, ge=1, description="Pairs a step.")
    crop: int = Field(256, ge=32, multiple_of=32, description="Height of a pair in pixels.")
    aspect: float = Field(1.25, ge=1, le=4, description="Width of a pair over its height.")
    shares: tuple[float, float, float] = Field(flights.SHARES, description="Shares of small, medium, large motion.")
    width: int = Field(96, ge=16, multiple_of=16, description="Channels of the network.")
    stage: Literal["flow", "judge"] = Field("flow", description="What is trained; the judge last, in a run of its own.")
    cuts: float = Field(0.1, ge=0, le=1, description="Share of pairs across a cut where the judge is trained.")
    updates: int = Field(4, ge=1, le=16, description="Updates of the flow.")
    gamma: float = Field(0.85, gt=0, le=1, description="Weight of an update over that of the next.")
    matching: float = Field(0.3, ge=0, description="Weight of the cross-entropy of the match.")
    hint_share: float = Field(0.8, ge=0, le=1, description="Share of pairs that come with the flow of inverse search.")
    coarse: float = Field(0.25, ge=0, le=1, description="Share of steps that match at 1/16 size.")
    validation_samples: int = Field(
        24, ge=1, description="Pairs of a validation, a third each of small, medium, large motion."
    )
    scales: tuple[float, ...] = Field((1.0, 0.5), description="Sizes at which each picture is used.")
    validate_every: int = Field(500, ge=1, description="Steps between validations.")


def networks(params: Params) -> Networks:
    return {"flow": FlowNet(Config(width=params.width))}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    share = np.asarray(params.shares) / sum(params.shares)
    paces = rng.choice(list(flights.RANGES), params.batch, p=share)
    pairs = [flights.flight(data, rng, _size(params), str(pace)) for pace in paces]
    if params.stage == "judge":
        return _stacked(pairs, hints=False) | {"cut": torch.from_numpy(rng.random(params.batch) < params.cuts)}
    made = _stacked(pairs)
    hidden = torch.from_numpy(rng.random(params.batch) >= params.hint_share)
    made["hint"][hidden] = float("nan")
    made["coarse"] = torch.tensor(rng.random() < params.coarse)
    made["updates"] = torch.tensor(params.updates)
    made["weights"] = torch.tensor((params.gamma, params.matching), dtype=torch.float64)
    return made


def step(nets: Networks, batch: Batch, update: Update) -> None:
    net = nets["flow"]
    if "cut" in batch:
        update("flow", judgement(_plain(net), batch))
        return
    estimate = net(batch["first"], batch["second"], batch["hint"], int(batch["updates"]), bool(batch["coarse"]))
    with torch.autocast(batch["flow"].device.type, enabled=False):
        update("flow", loss(estimate, batch))


def judgement(net: FlowNet, batch: Batch) -> Tensor:
    """How far the judge is from the truth: cross-entropy of "within a pixel" for both flows, and what its choice costs.

    The rest of the network stays as it is. A cut is two pictures of different pairs: no vector is right there.
    """
    total, count = batch["flow"].new_zeros(()), len(batch["flow"])
    for index in range(count):
        cut = bool(batch["cut"][index])
        second = batch["second"][index - 1 if cut else index]
        with torch.no_grad():
            there, _ = estimates(net, batch["first"][index].cpu(), second.cpu())
            planes, prior = evidence.planes(there)
            flows = np.stack((there.network.forward, there.searched.forward))
            errors = (torch.from_numpy(flows).permute(0, 3, 1, 2) - batch["flow"][index].cpu()).norm(dim=1)
            right = (errors < 1).float() * (not cut)
            # Far errors count by their size, near ones by their share.
            cost = 0.5 * torch.log1p(4 * errors) + 0.2 * errors.clamp(max=30)
            right, cost = (F.avg_pool2d(part, evidence.QUARTER).to(batch["flow"].device) for part in (right, cost))
        logits = net.judge(planes.to(total.device), prior.to(total.device))[0].float()
        total = total + F.binary_cross_entropy_with_logits(logits[:2], right)
        if not cut:
            ours = torch.sigmoid(logits[2])
            total = total + (ours * (cost[0] - cost.amin(0)) + (1 - ours) * (cost[1] - cost.amin(0))).mean()
    return total / count


def loss(estimate: Estimate, batch: Batch) -> Tensor:
    """Negative log density of the errors, the full size counted once, the cells of each update less the earlier."""
    gamma, matching = (float(weight) for weight in batch["weights"])
    error = (estimate.flow - batch["flow"]).abs()
    # The density hardly cares where a far error lies; the mean error does.
    total = 0.05 * error.mean() - log_density(error, estimate.info).mean()
    truth = batch["flow"][..., CELL // 2 :: CELL, CELL // 2 :: CELL]
    for index, each in enumerate(estimate.steps):
        weight = gamma ** (len(estimate.steps) - 1 - index)
        total = total - weight * log_density((each.flow - truth).abs(), each.info).mean()
        total = total + weight * _choosing(each, truth)
    seen = batch["visible"][..., CELL // 2 :: CELL, CELL // 2 :: CELL]
    fine = _cross_entropy(estimate.logs[0], truth / CELL, seen)
    coarse = _cross_entropy(estimate.logs[-1], truth[..., ::2, ::2] / (2 * CELL), seen[..., ::2, ::2])
    return total + matching * (fine + 0.5 * coarse)


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    """Mean error for small, medium and large motion, beside that of inverse search, on pictures not trained on.

    At the stage of the judge, that of what it chose; and the area under the curve of its confidence.
    """
    figures: dict[str, float] = {}
    for number, pace in enumerate(flights.RANGES):
        rows = []
        for index in range(max(params.validation_samples // 3, 1)):
            pair = flights.flight(data, np.random.default_rng((number, index)), VALIDATION_SIZE, pace)
            rows.append(_looked(nets["flow"], pair, params))
        ours, median, searched, sure = (_mean(column) for column in zip(*rows, strict=True))
        figures |= {pace: ours, f"{pace} median": median, f"{pace} dis": searched}
        figures |= {f"{pace} area": sure} if params.stage == "judge" else {}
    figures["ratio"] = float(np.mean([figures[pace] / figures[f"{pace} dis"] for pace in flights.RANGES]))
    return Validation(-figures["ratio"], figures)


def _looked(net: nn.Module, pair: flights.Flight, params: Params) -> tuple[float, float, float, float]:
    """Mean and median error, mean error of inverse search, area under the curve of the confidence."""
    sure = float("nan")
    if params.stage == "judge":
        found = judged(_plain(net), pair.first, pair.second).forward
        flow = found.vectors
        sure = motion.area(found.confidence, (flow - pair.flow).norm(dim=0) < 1)
    else:
        device = next(net.parameters()).device
        given = {key: value.to(device) for key, value in _stacked([pair]).items()}
        flow = net(given["first"], given["second"], given["hint"], params.updates).flow[0].float().cpu()
    error = (flow - pair.flow).norm(dim=0)
    searched = torch.from_numpy(_searched(pair)).sub(pair.flow).norm(dim=0)
    return float(error.mean()), float(error.median()), float(searched.mean()), sure


def _mean(values: Sequence[float]) -> float:
    """Mean of those that are numbers."""
    numbers = [value for value in values if np.isfinite(value)]
    return float(np.mean(numbers)) if numbers else float("nan")


def _plain(net: nn.Module) -> FlowNet:
    """The network itself, where several processes share it."""
    return cast(FlowNet, getattr(net, "module", net))


def _size(params: Params) -> tuple[int, int]:
    return params.crop, round(params.crop * params.aspect / 32) * 32


def _stacked(pairs: list[flights.Flight], hints: bool = True) -> Batch:
    made = {name: torch.stack([getattr(pair, name) for pair in pairs]) for name in ("first", "second", "flow")}
    made["visible"] = torch.stack([pair.visible for pair in pairs])[:, None]
    if hints:
        found = torch.stack([torch.from_numpy(_searched(pair)) for pair in pairs])
        made["hint"] = F.avg_pool2d(found, CELL)
    return made


def _searched(pair: flights.Flight) -> NDArray[np.float32]:
    """Flow of dense inverse search, (2, H, W)."""
    luma = [cv2.cvtColor(_codes(picture), cv2.COLOR_RGB2GRAY) for picture in (pair.first, pair.second)]
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined, unused-ignore]
    return np.ascontiguousarray(search.calc(*luma, None).transpose(2, 0, 1))


def _codes(picture: Tensor) -> NDArray[np.uint8]:
    return (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def _choosing(step: FlowUpdate, truth: Tensor) -> Tensor:
    """What the choice costs beyond the best one: near errors count by their share, far ones by their size."""
    errors = (step.candidates - truth[:, None]).norm(dim=2)
    cost = errors.log1p() + 0.1 * errors.clamp(max=60)
    return torch.mean((step.choice.softmax(1) * (cost - cost.amin(1, keepdim=True))).sum(1))


def _cross_entropy(logs: tuple[Tensor, Tensor, Tensor], flow: Tensor, seen: Tensor) -> Tensor:
    """Cross-entropy of the dual softmax against the four cells round the true place, where that is seen.

    Args:
        logs: scores (B, n, n) and the logs of their sums over second and first picture.
        flow: (B, 2, h, w) in cells.
        seen: (B, 1, h, w) bool.
    """
    volume, rows, columns = logs
    height, width = flow.shape[-2:]
    place = (flow + grid(height, width, flow.device)).flatten(2)
    whole = place.floor()
    part = place - whole
    usable = seen.flatten(1) & (whole >= 0).all(1) & (whole[:, 0] < width - 1) & (whole[:, 1] < height - 1)
    left, top = (whole[:, axis].clamp(0, size - 2).long() for axis, size in ((0, width), (1, height)))
    index = torch.stack([(top + dy) * width + left + dx for dy in (0, 1) for dx in (0, 1)], 2)
    across, down = part.unbind(1)
    share = torch.stack([y * x for y in (1 - down, down) for x in (1 - across, across)], 2)
    score = volume.gather(2, index) - 0.5 * columns.gather(1, index.flatten(1)).view_as(index)
    entropy = 0.5 * rows - (share * score).sum(2)
    return (entropy * usable).sum() / usable.sum().clamp(min=1)
