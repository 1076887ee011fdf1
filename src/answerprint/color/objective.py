"""How far a graded picture still is from the look: from the colors of a reference, or from the same pixels as graded.

Distances are CIELAB units; pixels are display-encoded R'G'B'.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from answerprint.color import spaces, style
from answerprint.color.reinhard import ColorStatistics, GlobalTransfer
from answerprint.color.values import Transform


class Objective(Protocol):
    """How far pictures still are from the look; a `Transform` takes and gives (..., 3, H, W)."""

    def after(self, transform: Transform) -> Objective:
        """The same objective for pictures that a first transform has worked on."""
        ...

    def loss(self, transform: Transform) -> Tensor:
        """The loss, a scalar, differentiable."""
        ...

    def distance(self, transform: Transform) -> float:
        """The distance that is reported, in CIELAB units."""
        ...

    def error(self, transform: Transform) -> float:
        """The color error left, CIEDE2000."""
        ...


_RESERVE = 0.1  # share of what Reinhard loses that is kept in hand: fitted pixels are few, and the picture has many
_LOST = 60.0  # CIELAB units that missing structure of 1 costs
_OUTSIDE = 20.0  # CIELAB units that a color 1 outside of black and white costs
_UNSTEADY = 60.0  # CIELAB units that differences lifted by 1 more than contrast cost
_EDGE = 200.0  # how sharp the edge is from which on they cost
_CALMER = 0.01  # kept in hand, since sampled pixels are few
_STILL = 5e-4  # mean difference of twins under which a shot stands still


@dataclass(frozen=True, eq=False)
class ShotSamples:
    """The pixels of a shot that a look is fitted to.

    Attributes:
        colors: display-encoded colors of the shot, (n, 3).
        pictures: frames of the shot, made small, and pieces of them at full size: (N, 3, H, W) each.
        twins: display-encoded colors of the same things at two moments, (2, n, 3), for each distance in time.
    """

    colors: Tensor
    pictures: tuple[Tensor, ...]
    twins: tuple[Tensor, ...] = ()

    @cached_property
    def _flat(self) -> Tensor:
        """All pixels there are, (3, 1, n): a transform of one pixel at a time costs mostly its calls."""
        pictures = (picture.movedim(1, 0).reshape(3, -1) for picture in self.pictures)
        return torch.cat([self.colors.T, *(each.reshape(-1, 3).T for each in self.twins), *pictures], 1)[:, None]

    def graded(self, transform: Transform) -> ShotSamples:
        """The same pixels after a transform."""
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
        return ShotSamples(colors.T, tuple(pictures), tuple(twins))


@dataclass(frozen=True, eq=False)
class StyleObjective:
    """Near to the colors of a reference, with as much structure kept as the global transfer of Reinhard keeps.

    A fixed grade brings no flicker of its own, but where it is steeper than on the whole it lifts what flicker and
    grain there is above the contrast that it gives: darks that are opened, flat areas that are spread. So colors that
    show the same thing twice may not be pulled apart farther than the colors of a picture are.

    Attributes:
        samples: pixels of the shot.
        reference: CIELAB colors of the reference, (m, 3).
        luma: luma of the pictures before any grade, (N, 1, H, W) each.
        least_ssim: SSIM of luma to the source that is asked for, of each; less costs.
        directions: (32, 3) unit vectors that colors are projected on.
        quantiles: (32, n) of the reference along them.
        most_noise: mean difference of twins over the deviation of each picture that is allowed, of each; more costs.
    """

    samples: ShotSamples
    reference: Tensor
    luma: tuple[Tensor, ...]
    least_ssim: tuple[float, ...]
    directions: Tensor
    quantiles: Tensor
    most_noise: tuple[float, ...]

    @classmethod
    def of(
        cls, samples: ShotSamples, reference: Tensor, structure: float = 1.0, steadiness: float = 1.0, seed: int = 0
    ) -> StyleObjective:
        """Asks for as much structure as Reinhard's transfer to the reference keeps, and a little more.

        Args:
            samples: pixels of the shot.
            reference: CIELAB colors of the reference, (m, 3).
            structure: how much is asked for: 0 nothing, 1 a little more than Reinhard's, 2 half of what he loses.
            steadiness: how much less than contrast the differences of twins may be lifted; 0 by any amount.
            seed: of the directions that colors are projected on.
        """
        source, least = ColorStatistics.of(style.to_lab(samples.colors)), []
        reinhard = GlobalTransfer.between(source, ColorStatistics.of(reference))
        luma = tuple(spaces.luma(each) for each in samples.pictures)
        for each, plane in zip(samples.pictures, luma, strict=True):
            transferred = spaces.lab_to_rgb(reinhard.apply(spaces.rgb_to_lab(each))).clamp(0, 1)
            ssim = float(style.structure(spaces.luma(transferred), plane))
            stricter = 1 - _RESERVE * ssim
            least.append(ssim * structure if structure < 1 else 1 - (1 - ssim) * stricter / structure)
        directions = style.directions(32, seed)
        quantiles = style.quantiles(reference, directions, len(samples.colors))
        # What stands still to the code value has nothing to lift.
        twins = tuple(each for each in samples.twins if steadiness and each.shape[1] and _difference(each) > _STILL)
        most = tuple(float(_relative_difference(t, samples.pictures[0])) * (1 - _CALMER) / steadiness for t in twins)
        return cls(replace(samples, twins=twins), reference, luma, tuple(least), directions, quantiles, most)

    def after(self, transform: Transform) -> StyleObjective:
        """The same objective for pictures that a first transform has worked on."""
        with torch.no_grad():
            return replace(self, samples=self.samples.graded(transform))

    def loss(self, transform: Transform) -> Tensor:
        """Sliced Wasserstein distance in CIELAB, and what lost structure, flicker and colors outside of 0..1 cost."""
        graded = self.samples.graded(transform)
        lab = spaces.rgb_to_lab(graded.colors.T[:, None])[:, 0]
        distance = ((_sort_rows(self.directions @ lab) - self.quantiles).square().mean() + 1e-4).sqrt()
        outside = (graded.colors - graded.colors.clamp(0, 1)).square().mean()
        lost = torch.stack([self._structure_cost(picture, i) for i, picture in enumerate(graded.pictures)]).sum()
        return distance + lost + self._noise_cost(graded) + _OUTSIDE * (outside + 1e-8).sqrt()

    def distance(self, transform: Transform) -> float:
        """Sliced Wasserstein distance to the reference, of the picture as it is delivered."""
        with torch.no_grad():
            colors = style.to_lab(_delivered(self.samples.colors, transform))
            return float(style.sliced_wasserstein(colors, self.reference))

    def error(self, transform: Transform) -> float:
        """Mean CIEDE2000 between the colors and their partners in the reference."""
        with torch.no_grad():
            return style.matched_error(style.to_lab(_delivered(self.samples.colors, transform)), self.reference)

    def structure(self, transform: Transform, index: int = 0) -> Tensor:
        """SSIM of luma to the source, a scalar: of the small frames (index 0) or the pieces (1)."""
        return style.structure(spaces.luma(transform(self.samples.pictures[index])), self.luma[index])

    def noise_gain(self, transform: Transform) -> float:
        """Difference of twins over the deviation of pictures, after over before, the largest; 1 without twins."""
        with torch.no_grad():
            graded = self.samples.graded(transform)
            after = [_relative_difference(t.clamp(0, 1), graded.pictures[0].clamp(0, 1)) for t in graded.twins]
            before = [
                _relative_difference(t.clamp(0, 1), self.samples.pictures[0].clamp(0, 1)) for t in self.samples.twins
            ]
        return max((float(a / b) for a, b in zip(after, before, strict=True)), default=1.0)

    def _noise_cost(self, graded: ShotSamples) -> Tensor:
        picture = graded.pictures[0]
        cost = picture.new_zeros(())
        for each, most in zip(graded.twins, self.most_noise, strict=True):
            above = _relative_difference(each.clamp(0, 1), picture.clamp(0, 1)) / most - 1
            cost = cost + _UNSTEADY * F.softplus(above * _EDGE) / _EDGE
        return cost

    def _structure_cost(self, picture: Tensor, index: int) -> Tensor:
        # What may be lost sets the scale. Rounded at the edge, where a line search would otherwise be caught.
        allowed = max(1 - self.least_ssim[index], 1e-3)
        sharp = max(200.0, 3 / allowed)
        ssim = style.structure(spaces.luma(picture), self.luma[index])
        missing = F.softplus((self.least_ssim[index] - ssim) * sharp) / sharp
        return (_LOST + 4 / allowed) * missing * (1 + 10 * missing)


@dataclass(frozen=True, eq=False)
class PairsObjective:
    """Equal to the same pixels as someone graded them.

    Attributes:
        colors: display-encoded colors before, (n, 3).
        graded: CIELAB colors after, (n, 3), in the same order.
    """

    colors: Tensor
    graded: Tensor

    def after(self, transform: Transform) -> PairsObjective:
        """The same objective for pictures that a first transform has worked on."""
        with torch.no_grad():
            return replace(self, colors=transform(self.colors.T[:, None])[:, 0].T)

    def loss(self, transform: Transform) -> Tensor:
        """Mean CIELAB difference, rounded at 0 so that it is smooth; a few wild pixels cannot pull it far."""
        lab = spaces.rgb_to_lab(transform(self.colors.T[:, None]))[:, 0].T
        return ((lab - self.graded).square().sum(1) + 0.25).sqrt().mean()

    def distance(self, transform: Transform) -> float:
        """Mean CIEDE2000 to the graded colors."""
        with torch.no_grad():
            ours = style.to_lab(_delivered(self.colors, transform)).T[:, None]
            return float(spaces.delta_e_2000(ours, self.graded.T[:, None]).mean())

    def error(self, transform: Transform) -> float:
        """The same: pairs leave no doubt about which color belongs to which."""
        return self.distance(transform)


def _relative_difference(twins: Tensor, pictures: Tensor) -> Tensor:
    """Mean difference of twins (2, n, 3), over the deviation within each of the pictures (N, 3, H, W)."""
    deviation = (pictures.var((2, 3), correction=0) + 1e-8).sqrt().mean()
    return _difference(twins) / deviation


def _difference(twins: Tensor) -> Tensor:
    return ((twins[0] - twins[1]).square() + 1e-10).sqrt().mean()


def _sort_rows(values: Tensor) -> Tensor:
    """Rows sorted, with gradients; NumPy finds the order three times as fast."""
    order = torch.from_numpy(np.argsort(values.detach().numpy(), 1))
    return values.gather(1, order)


def _delivered(colors: Tensor, transform: Transform) -> Tensor:
    return transform(colors.T[:, None])[:, 0].T.clamp(0, 1)
