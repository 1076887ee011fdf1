"""Fits a readable grade to a look: seven plain parameters, or an ASC CDL, then a tone curve, then a residual 3D LUT.

A grade is `Values`: plain numbers. What is tuned is a vector that is zero where the grade is neutral and that every
bound is built into, so no step can leave them and no penalty is needed to keep them. Objectives say how far a graded
picture still is from what is wanted: `Style` from the colors of a reference, `Pairs` from the same pixels graded by
someone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import accumulate
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from answerprint.color import grade, lut, spaces, style

Triple = tuple[float, float, float]
Points = tuple[float, float, float, float, float, float, float]

CURVE: Points = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
SEVEN = ("brightness", "contrast", "gamma", "hue", "saturation", "temperature")  # sharpness is no matter of color
CDL = ("slope", "offset", "power", "saturation")
CURVES = ("curve_red", "curve_green", "curve_blue")


@dataclass(frozen=True)
class Values:
    """One grade as numbers, neutral by default, in the order in which it is applied (`saturation` after `power`)."""

    temperature: float = 0.0
    brightness: float = 0.0
    slope: Triple = (1.0, 1.0, 1.0)
    offset: Triple = (0.0, 0.0, 0.0)
    power: Triple = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    contrast: float = 1.0
    gamma: float = 1.0
    hue: float = 0.0
    curve_red: Points = CURVE
    curve_green: Points = CURVE
    curve_blue: Points = CURVE

    def tensors(self) -> dict[str, Tensor]:
        """Each value as a tensor."""
        return {entry.name: torch.tensor(getattr(self, entry.name)) for entry in fields(self)}


def apply(pixels: Tensor, values: Mapping[str, Tensor]) -> Tensor:
    """The grade of the values that are named, on pixels (..., 3, H, W); differentiable in both.

    A value may be one for all, or one per picture of a batch in front.
    """
    if "temperature" in values:
        pixels = grade.white_balance(pixels, values["temperature"])
    if "brightness" in values:
        pixels = grade.brightness(pixels, values["brightness"])
    if values.keys() & {"slope", "offset", "power"}:
        pixels = grade.cdl(pixels, values.get("slope", 1.0), values.get("offset", 0.0), values.get("power", 1.0))
    if "saturation" in values:
        pixels = grade.saturate(pixels, values["saturation"])
    if "contrast" in values:
        pixels = grade.contrast(pixels, values["contrast"])
    if "gamma" in values:
        pixels = grade.gamma(pixels, values["gamma"])
    if "hue" in values:
        pixels = grade.hue(pixels, values["hue"])
    if CURVES[0] in values:
        pixels = curve(pixels, torch.stack([values[name] for name in CURVES], -2))
    return pixels


def curve(pixels: Tensor, outputs: Tensor) -> Tensor:
    """Tone curves (..., 3, n) through `CURVE`, one set for all pictures or one per picture."""
    if outputs.ndim == 2:
        return grade.curve(pixels, CURVE, outputs)
    return torch.stack([grade.curve(p, CURVE, o) for p, o in zip(pixels, outputs, strict=True)])


# ---- from a free vector to bounded values

# name: (numbers, furthest); see `bounded`
_TRIPLES = ("slope", "offset", "power")
_FURTHEST = {
    "temperature": 100.0,
    "brightness": 0.3,
    "slope": 4.0,
    "offset": 0.5,
    "power": 3.0,
    "contrast": 2.0,
    "gamma": 2.5,
    "hue": 60.0,
}
_STEEPEST = 3.0  # a curve is nowhere steeper than this, nor flatter than its inverse: nothing is posterized
_END = 0.15  # how far a curve may move black


def sizes(names: Sequence[str]) -> dict[str, int]:
    """How many free numbers each value has."""
    return {name: 3 if name in _TRIPLES else len(CURVE) if name in CURVES else 1 for name in names}


def _ends(names: Sequence[str]) -> list[int]:
    """Where each value but the last ends in a free vector."""
    return list(accumulate(sizes(names).values()))[:-1]


def bounded(free: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Values from a free vector (..., n): exactly neutral at zero, in their bounds everywhere.

    Factors (slope, power, contrast, gamma) lie between 1 / furthest and furthest, shifts (offset, brightness, hue,
    temperature) between -furthest and furthest, saturation between 0 and 3, the steepness of curves between 1/3 and 3.
    """
    result = {}
    parts = torch.tensor_split(free, _ends(names), dim=-1)
    for (name, size), part in zip(sizes(names).items(), parts, strict=True):
        value = _bounded(name, part)
        result[name] = value if size > 1 else value[..., 0]
    return result


def _bounded(name: str, free: Tensor) -> Tensor:
    if name in CURVES:
        steps = torch.tensor(CURVE, device=free.device).diff() * _STEEPEST ** torch.tanh(free[..., 1:])
        start = _END * torch.tanh(free[..., :1])
        # Falling towards the neutral curve: a sum of the differences of the inputs is not exactly the inputs.
        moved = torch.cat([torch.zeros_like(start), (steps - torch.tensor(CURVE, device=free.device).diff())], -1)
        return torch.tensor(CURVE, device=free.device) + start + moved.cumsum(-1)
    if name == "saturation":
        return 1 + torch.where(free < 0, torch.tanh(free), 2 * torch.tanh(free / 2))
    furthest = _FURTHEST[name]
    if name in ("slope", "power", "contrast", "gamma"):
        return furthest ** torch.tanh(free)
    return furthest * torch.tanh(free)


def plain(values: Mapping[str, Tensor], onto: Values | None = None) -> Values:
    """The numbers of tensors, rounded to what a person reads; the render uses what is written, so nothing is lost."""
    found: dict[str, float | tuple[float, ...]] = {}
    for name, value in values.items():
        numbers = [round(float(number), 5) for number in value.detach().reshape(-1)]
        found[name] = tuple(numbers) if len(numbers) > 1 else numbers[0]
    return replace(onto or Values(), **found)  # type: ignore[arg-type]


# ---- the residual LUT

_MARGIN = 1  # cells beyond 0..1 on each side, where super-whites and sub-blacks are moved as white and black are
_LARGEST_RESIDUAL = 0.25


def residual_cube(residual: Tensor) -> lut.Cube:
    """A LUT that adds `residual` (n, n, n, 3), table[blue, green, red], to the color; differentiable in it.

    It reaches one cell beyond 0..1, where the residual goes on as it is at the border.
    """
    n = residual.shape[0]
    margin = _MARGIN / (n - 1)
    padded = F.pad(residual.permute(3, 0, 1, 2)[None], (_MARGIN,) * 6, mode="replicate")[0].permute(1, 2, 3, 0)
    ramp = torch.linspace(-margin, 1 + margin, n + 2 * _MARGIN, dtype=torch.float64).float().to(residual.device)
    blue, green, red = torch.meshgrid(ramp, ramp, ramp, indexing="ij")
    table = torch.stack([red, green, blue], -1) + padded
    return lut.Cube(table, (-margin,) * 3, (1 + margin,) * 3)


def roughness(residual: Tensor) -> Tensor:
    """Mean square of the second differences along the three axes of a grid: what smoothness costs."""
    n = residual.shape[0]
    bends = [residual.diff(n=2, dim=axis).square().sum() for axis in range(3)]
    return torch.stack(bends).sum() * (n - 1) ** 2 / residual.numel()


# ---- what is wanted


class Objective(Protocol):
    """How far pictures still are from what is wanted; `transform` takes and gives (..., 3, H, W)."""

    def after(self, transform: Callable[[Tensor], Tensor]) -> Objective:
        """The same wish, for pictures that a first transform has been at."""
        ...

    def loss(self, transform: Callable[[Tensor], Tensor]) -> Tensor:
        """What is made small; differentiable."""
        ...

    def distance(self, transform: Callable[[Tensor], Tensor]) -> float:
        """What is told: how far it still is, in CIELAB units."""
        ...

    def error(self, transform: Callable[[Tensor], Tensor]) -> float:
        """The color error left, CIEDE2000."""
        ...


Transform = Callable[[Tensor], Tensor]
_IN_HAND = 0.1  # share of what Reinhard loses that is kept in hand: fitted pixels are few, and the picture has many
_LOST = 60.0  # CIELAB units that missing structure of 1 costs
_PULL, _HOLD = 0.02, 1.0  # what a free number 1 away from neutral costs, or from the grade of the whole shot
_ROUGH = 20.0
_OUTSIDE = 20.0  # CIELAB units that a color 1 outside of black and white costs
_UNSTEADY = 60.0  # CIELAB units that differences lifted by 1 more than contrast cost
_EDGE = 200.0  # how sharp the edge is from which on they cost
_CALMER = 0.01  # kept in hand, since drawn pixels are few
_STILL = 5e-4  # mean difference of twins under which a shot stands still


@dataclass(frozen=True, eq=False)
class Style:
    """Near to the colors of a reference, with as much structure kept as the global transfer of Reinhard keeps.

    A fixed grade brings no flicker of its own, but where it is steeper than on the whole it lifts what flicker and
    grain there is above the contrast that it gives: darks that are opened, flat areas that are spread. So colors that
    show the same thing twice may not be pulled apart farther than the colors of a picture are.

    Attributes:
        colors: display-encoded colors of the shot, (n, 3).
        wanted: CIELAB colors of the reference, (m, 3).
        pictures: frames of the shot, made small, and pieces of them at full size: (N, 3, H, W) each.
        luma: luma of them as they came, (N, 1, H, W) each.
        enough: SSIM of luma to the source that is asked for, of each; less costs.
        along, quantiles: `wanted` as seen along directions.
        twins: display-encoded colors of the same things, seen twice, (2, n, 3), for each distance in time.
        calm: mean difference of twins over the deviation of each picture that is asked for, of each; more costs.
    """

    colors: Tensor
    wanted: Tensor
    pictures: tuple[Tensor, ...]
    luma: tuple[Tensor, ...]
    enough: tuple[float, ...]
    along: Tensor
    quantiles: Tensor
    twins: tuple[Tensor, ...]
    calm: tuple[float, ...]

    @classmethod
    def of(
        cls,
        colors: Tensor,
        wanted: Tensor,
        pictures: Sequence[Tensor],
        structure: float = 1.0,
        seed: int = 0,
        twins: Sequence[Tensor] = (),
        steadiness: float = 1.0,
    ) -> Style:
        """Asks for as much structure as Reinhard's transfer to `wanted` keeps, and a little more.

        Args:
            structure: how much is asked for: 0 nothing, 1 a little more than Reinhard's, 2 half of what he loses.
            twins: colors of the same things at two moments, (2, n, 3), for each distance in time.
            steadiness: how much less than contrast the differences of twins may be lifted; 0 by any amount.
        """
        source, enough = style.to_lab(colors), []
        luma = tuple(spaces.luma(each) for each in pictures)
        for each, plane in zip(pictures, luma, strict=True):
            moved = spaces.lab_to_rgb(_reinhard(spaces.rgb_to_lab(each), source, wanted)).clamp(0, 1)
            kept = float(style.structure(spaces.luma(moved), plane))
            stricter = 1 - _IN_HAND * kept
            enough.append(kept * structure if structure < 1 else 1 - (1 - kept) * stricter / structure)
        along = style.directions(32, seed)
        quantiles = style.quantiles(wanted, along, len(colors))
        # What stands still to the code value has nothing to lift.
        seen = tuple(each for each in twins if steadiness and each.shape[1] and _difference(each) > _STILL)
        calm = tuple(float(_apart(each, pictures[0])) * (1 - _CALMER) / steadiness for each in seen)
        return cls(colors, wanted, tuple(pictures), luma, tuple(enough), along, quantiles, seen, calm)

    def after(self, transform: Transform) -> Style:
        """The same wish, for pictures that a first transform has been at."""
        with torch.no_grad():
            colors, twins, pictures = self._graded(transform)
            return replace(self, colors=colors, pictures=pictures, twins=twins)

    def loss(self, transform: Transform) -> Tensor:
        """Sliced Wasserstein distance in CIELAB, and what lost structure, flicker and colors outside of 0..1 cost."""
        colors, twins, pictures = self._graded(transform)
        lab = spaces.rgb_to_lab(colors.T[:, None])[:, 0]
        distance = ((_rising(self.along @ lab) - self.quantiles).square().mean() + 1e-4).sqrt()
        outside = (colors - colors.clamp(0, 1)).square().mean()
        lost = torch.stack([self._lost(picture, i) for i, picture in enumerate(pictures)]).sum()
        return distance + lost + self._unsteady(twins, pictures) + _OUTSIDE * (outside + 1e-8).sqrt()

    def distance(self, transform: Transform) -> float:
        """Sliced Wasserstein distance to the reference, of the picture as it is delivered."""
        with torch.no_grad():
            return float(style.sliced_wasserstein(style.to_lab(_delivered(self.colors, transform)), self.wanted))

    def error(self, transform: Transform) -> float:
        """Mean CIEDE2000 between the colors and their partners in the reference."""
        with torch.no_grad():
            return style.matched_error(style.to_lab(_delivered(self.colors, transform)), self.wanted)

    def structure(self, transform: Transform, which: int = 0) -> Tensor:
        """SSIM of luma to the source, of the small frames or the pieces."""
        return style.structure(spaces.luma(transform(self.pictures[which])), self.luma[which])

    def lifted(self, transform: Transform) -> float:
        """What twins differ by over the deviation of pictures, after over before, at most; 1 where there are none."""
        with torch.no_grad():
            _, twins, pictures = self._graded(transform)
            after = [_apart(each.clamp(0, 1), pictures[0].clamp(0, 1)) for each in twins]
            before = [_apart(each.clamp(0, 1), self.pictures[0].clamp(0, 1)) for each in self.twins]
        return max((float(a / b) for a, b in zip(after, before, strict=True)), default=1.0)

    @cached_property
    def _flat(self) -> Tensor:
        """All pixels there are, (3, 1, n): a transform of one pixel at a time costs mostly its calls."""
        pictures = (picture.movedim(1, 0).reshape(3, -1) for picture in self.pictures)
        return torch.cat([self.colors.T, *(each.reshape(-1, 3).T for each in self.twins), *pictures], 1)[:, None]

    def _graded(self, transform: Transform) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Colors, twins and pictures after a transform."""
        lengths = [
            len(self.colors),
            *(t[..., 0].numel() for t in self.twins),
            *(p[:, 0].numel() for p in self.pictures),
        ]
        colors, *rest = torch.split(transform(self._flat)[:, 0], lengths, 1)
        count = len(self.twins)
        twins = (flat.T.reshape(each.shape) for flat, each in zip(rest[:count], self.twins, strict=True))
        pictures = (
            flat.view(3, len(each), *each.shape[2:]).movedim(0, 1)
            for flat, each in zip(rest[count:], self.pictures, strict=True)
        )
        return colors.T, tuple(twins), tuple(pictures)

    def _unsteady(self, twins: Sequence[Tensor], pictures: Sequence[Tensor]) -> Tensor:
        cost = pictures[0].new_zeros(())
        for each, calm in zip(twins, self.calm, strict=True):
            above = _apart(each.clamp(0, 1), pictures[0].clamp(0, 1)) / calm - 1
            cost = cost + _UNSTEADY * F.softplus(above * _EDGE) / _EDGE
        return cost

    def _lost(self, picture: Tensor, which: int) -> Tensor:
        # What may be lost sets the scale. Rounded at the edge, where a line search would otherwise be caught.
        allowed = max(1 - self.enough[which], 1e-3)
        sharp = max(200.0, 3 / allowed)
        kept = style.structure(spaces.luma(picture), self.luma[which])
        missing = F.softplus((self.enough[which] - kept) * sharp) / sharp
        return (_LOST + 4 / allowed) * missing * (1 + 10 * missing)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Equal to the same pixels as someone graded them.

    Attributes:
        colors: display-encoded colors before, (n, 3).
        wanted: CIELAB colors after, (n, 3), in the same order.
    """

    colors: Tensor
    wanted: Tensor

    def after(self, transform: Transform) -> Pairs:
        """The same wish, for pictures that a first transform has been at."""
        with torch.no_grad():
            return replace(self, colors=transform(self.colors.T[:, None])[:, 0].T)

    def loss(self, transform: Transform) -> Tensor:
        """Mean CIELAB difference, rounded at 0 so that it is smooth; a few wild pixels cannot pull it far."""
        lab = spaces.rgb_to_lab(transform(self.colors.T[:, None]))[:, 0].T
        return ((lab - self.wanted).square().sum(1) + 0.25).sqrt().mean()

    def distance(self, transform: Transform) -> float:
        """Mean CIEDE2000 to what is wanted."""
        with torch.no_grad():
            ours = style.to_lab(_delivered(self.colors, transform)).T[:, None]
            return float(spaces.delta_e_2000(ours, self.wanted.T[:, None]).mean())

    def error(self, transform: Transform) -> float:
        """The same: pairs leave no doubt about which color belongs to which."""
        return self.distance(transform)


def _apart(twins: Tensor, pictures: Tensor) -> Tensor:
    """Mean difference of twins (2, n, 3), over the deviation within each of the pictures (N, 3, H, W)."""
    deviation = (pictures.var((2, 3), correction=0) + 1e-8).sqrt().mean()
    return _difference(twins) / deviation


def _difference(twins: Tensor) -> Tensor:
    return ((twins[0] - twins[1]).square() + 1e-10).sqrt().mean()


def _rising(values: Tensor) -> Tensor:
    """Rows sorted, with gradients; NumPy finds the order three times as fast."""
    order = torch.from_numpy(np.argsort(values.detach().numpy(), 1))
    return values.gather(1, order)


def _delivered(colors: Tensor, transform: Transform) -> Tensor:
    return transform(colors.T[:, None])[:, 0].T.clamp(0, 1)


def _reinhard(lab: Tensor, source: Tensor, wanted: Tensor) -> Tensor:
    """Reinhard et al. 2001, equations 10 and 11, on (..., 3, H, W), with ratios held as `match` holds them."""
    ratio = (wanted.std(0, correction=0) / source.std(0, correction=0).clamp_min(1e-6)).clamp(max=3.0)
    ratio = torch.cat([ratio[:1].clamp_min(1 / 3), ratio[1:]])
    columns = [vector.view(3, 1, 1) for vector in (source.mean(0), ratio, wanted.mean(0))]
    return (lab - columns[0]) * columns[1] + columns[2]


# ---- tuning


@dataclass(frozen=True, eq=False)
class Fitted:
    """A grade and the way it went.

    Attributes:
        values: the numbers.
        residual: (n, n, n, 3) added on top by a LUT, if asked for.
        before, after: distance to what is wanted.
        shares: stage -> its share of the way, which together are 1 (0 where nothing was won).
        error: color error left, CIEDE2000.
        steps: iterations that were needed.
        free: stage -> its free vector, for a fit that begins there.
    """

    values: Values
    residual: Tensor | None
    before: float
    after: float
    shares: dict[str, float]
    error: float
    steps: int
    free: dict[str, Tensor]


@dataclass(frozen=True)
class Plan:
    """What is tuned, in stages; each stage keeps what the stages before it found."""

    stages: tuple[tuple[str, tuple[str, ...]], ...]
    iterations: int = 500
    lut: int = 0  # points per axis of the residual LUT; 0 = none


def fit(
    objective: Objective, plan: Plan, near: Fitted | None = None, say: Callable[[str], None] | None = None
) -> Fitted:
    """Tunes a grade, stage by stage.

    Args:
        near: a grade that this one begins at and is held near to, for one of several keys of a shot.
        say: hears of the progress, a line per stage.
    """
    values, steps, found = Values(), 0, dict[str, Tensor]()
    distances = [objective.distance(lambda pixels: pixels)]
    for label, names in plan.stages:
        center = near.free.get(label) if near is not None else None
        if center is None:
            center = torch.zeros(sum(sizes(names).values()))
        free, taken = descend(
            _stage(objective.after(graded(values)), names, center, _HOLD if near else _PULL), center, plan.iterations
        )
        steps += taken
        tuned = plain(bounded(free, names), values)
        reached = objective.distance(graded(tuned))
        # A stage that brings nothing is left neutral: no number without a reason.
        if reached < distances[-1]:
            values, found[label] = tuned, free
        distances.append(min(reached, distances[-1]))
        if say is not None:
            say(f"{label}: {taken} iterations, distance {distances[-2]:.2f} -> {distances[-1]:.2f}")
    residual = near.residual if near is not None else None
    if plan.lut and near is None:
        tuned_residual, taken = _fit_residual(objective.after(graded(values)), plan)
        reached, steps = objective.distance(graded(values, tuned_residual)), steps + taken
        residual = tuned_residual if reached < distances[-1] else None
        distances.append(min(reached, distances[-1]))
    labels = [label for label, _ in plan.stages] + (["LUT"] if plan.lut and near is None else [])
    error = objective.error(graded(values, residual))
    return Fitted(values, residual, distances[0], distances[-1], _shares(labels, distances), error, steps, found)


def told(objective: Objective, stages: Sequence[tuple[str, Mapping[str, Tensor]]], steps: int) -> Fitted:
    """A grade that came from elsewhere (a network), measured stage by stage as `fit` measures its own."""
    values, distances = Values(), [objective.distance(lambda pixels: pixels)]
    for _, tensors in stages:
        values = plain(tensors, values)
        distances.append(objective.distance(graded(values)))
    shares = _shares([label for label, _ in stages], distances)
    error = objective.error(graded(values))
    return Fitted(values, None, distances[0], distances[-1], shares, error, steps, {})


def _shares(labels: Sequence[str], distances: Sequence[float]) -> dict[str, float]:
    way = distances[0] - distances[-1]
    steps = zip(labels, distances[:-1], distances[1:], strict=True)
    return {label: round((a - b) / way, 4) if way > 0 else 0.0 for label, a, b in steps}


def graded(values: Values, residual: Tensor | None = None) -> Transform:
    """The grade as a function of pixels."""
    # What is neutral costs time and changes nothing; curves go together.
    named = {entry.name for entry in fields(values) if getattr(values, entry.name) != entry.default}
    named |= set(CURVES) if named & set(CURVES) else set()
    tensors = {name: tensor for name, tensor in values.tensors().items() if name in named}
    cube = residual_cube(residual) if residual is not None else None

    def transform(pixels: Tensor) -> Tensor:
        result = apply(pixels, tensors)
        return result if cube is None else cube.apply(result)

    return transform


def _stage(objective: Objective, names: tuple[str, ...], center: Tensor, pull: float) -> Callable[[Tensor], Tensor]:
    """Loss of a free vector; a small pull towards `center` settles what the colors leave open."""

    def loss(free: Tensor) -> Tensor:
        tuned = bounded(free, names)
        return objective.loss(lambda pixels: apply(pixels, tuned)) + pull * (free - center).square().sum()

    return loss


def _fit_residual(objective: Objective, plan: Plan) -> tuple[Tensor, int]:
    n = plan.lut

    def loss(free: Tensor) -> Tensor:
        residual = _LARGEST_RESIDUAL * torch.tanh(free.view(n, n, n, 3))
        return objective.loss(residual_cube(residual).apply) + _ROUGH * roughness(residual)

    free, taken = descend(loss, torch.zeros(n**3 * 3), plan.iterations)
    return (_LARGEST_RESIDUAL * torch.tanh(free.view(n, n, n, 3))).mul(1e4).round().div(1e4), taken


def descend(loss: Callable[[Tensor], Tensor], begin: Tensor, iterations: int) -> tuple[Tensor, int]:
    """Makes `loss` small from `begin` on, by L-BFGS (Liu and Nocedal 1989) with a strong Wolfe line search.

    Stops when twice ten iterations bring less than two thousandths.

    Returns:
        The vector with the lowest loss seen, and how many iterations it took.
    """
    with _one_thread():
        return _descend(loss, begin, iterations)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Pictures are so small here that several threads would mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _descend(loss: Callable[[Tensor], Tensor], begin: Tensor, iterations: int) -> tuple[Tensor, int]:
    free = begin.clone().requires_grad_(True)
    best, lowest, done, idle = begin.clone(), math.inf, 0, 0
    block = min(10, iterations)
    optimizer = torch.optim.LBFGS([free], 1.0, block, block * 2, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(free)
        value.backward()  # type: ignore[no-untyped-call]
        if free.grad is not None:
            free.grad.nan_to_num_(0.0, 0.0, 0.0)
        return value.detach()

    while done < iterations and idle < 2:
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        done += block
        with torch.no_grad():
            reached = float(loss(free)) if bool(torch.isfinite(free).all()) else math.inf
        idle = 0 if reached < lowest - 2e-3 * max(abs(lowest), 1e-3) or math.isinf(lowest) else idle + 1
        if reached < lowest:
            lowest, best = reached, free.detach().clone()
        elif not math.isfinite(reached):
            break
    return best, min(done, iterations)
