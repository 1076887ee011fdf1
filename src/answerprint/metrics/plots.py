"""Plots as SVG elements that need no other file, in grays that need no color to be told apart."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from answerprint.metrics.words import cell_text

_GRAYS = ("#f2f2f2", "#a6a6a6", "#6f6f6f", "#d0d0d0", "#8a8a8a")
_DASHES = ("", "7 4", "2 3", "10 3 2 3", "1 4")  # lines are told apart without color
_WIDE, _HIGH = 560, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 30, 42


@dataclass(frozen=True)
class LinePlot:
    """A plot of lines: one sequence of (x, y) per name; points that are not finite are left out."""

    title: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    x: str = ""
    y: str = ""

    def svg(self) -> str:
        """The plot as an SVG element, in grays that need no color to be told apart."""
        lines = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in self.series.items()}
        points = [point for line in lines.values() for point in line]
        if not points:
            return _drawing(self.title, [_text(_WIDE / 2, _HIGH / 2, "nothing was measured", "middle")])
        across, up = _axis([p[0] for p in points]), _axis([p[1] for p in points])
        parts = _grid(across, up, self.x, self.y)
        for index, (name, line) in enumerate(lines.items()):
            path = " ".join(f"{_place_x(x, across):.1f},{_place_y(y, up):.1f}" for x, y in line)
            gray, dash = _GRAYS[index % 5], _DASHES[index % 5]
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{gray}" stroke-width="2" stroke-dasharray="{dash}"/>'
            )
            x = _LEFT + 8 + index * (_WIDE - _LEFT - _RIGHT) / max(len(lines), 1)
            parts.append(
                f'<line x1="{x:.0f}" x2="{x + 22:.0f}" y1="25" y2="25" stroke="{gray}" stroke-width="2"'
                f' stroke-dasharray="{dash}"/>'
            )
            parts.append(_text(x + 27, 29, name))
        return _drawing(self.title, parts)


@dataclass(frozen=True)
class BarPlot:
    """A plot of bars from zero, one per name; the names in `ours` are drawn bright."""

    title: str
    values: Mapping[str, float]
    unit: str = ""
    ours: Sequence[str] = ()

    def svg(self) -> str:
        """The plot as an SVG element."""
        finite = [value for value in self.values.values() if math.isfinite(value)]
        low, high = min(0.0, *finite, 0.0), max(0.0, *finite, 0.0)
        span = (high - low) or 1.0
        left, wide = 190, _WIDE - 190 - 84
        zero = left + wide * -low / span
        parts = []
        for index, (name, value) in enumerate(self.values.items()):
            y = _TOP + index * 26
            parts.append(_text(left - 10, y + 14, name if len(name) < 30 else name[:28] + "…", "end"))
            if not math.isfinite(value):
                parts.append(_text(zero + 6, y + 14, "not measured"))
                continue
            end = left + wide * (value - low) / span
            gray = _GRAYS[0] if name in self.ours else _GRAYS[2]
            x, width = min(zero, end), max(abs(end - zero), 1)
            parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="18" fill="{gray}"/>')
            parts.append(_text(max(end, zero) + 6, y + 14, f"{cell_text(value)} {self.unit}".strip()))
        return _drawing(self.title, parts, _TOP + len(self.values) * 26 + 8)


@dataclass(frozen=True)
class PicturePlot:
    """Pictures side by side, with a name under each.

    Attributes:
        title: what they show.
        jpegs: name -> JPEG data, all of one size.
        width, height: of each, in pixels.
    """

    title: str
    jpegs: Mapping[str, bytes]
    width: int
    height: int

    def svg(self) -> str:
        """The pictures as an SVG element that needs no other file."""
        wide = _WIDE / max(len(self.jpegs), 1)
        high = wide * self.height / self.width
        parts = []
        for index, (name, data) in enumerate(self.jpegs.items()):
            uri = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
            x = index * wide
            parts.append(
                f'<image x="{x + 1:.1f}" y="{_TOP - 10}" width="{wide - 2:.1f}" height="{high:.1f}" href="{uri}"/>'
            )
            parts.append(_text(x + wide / 2, _TOP + high + 6, name, "middle"))
        return _drawing(self.title, parts, _TOP + high + 16)


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    ticks: tuple[float, ...]


def _axis(values: Sequence[float]) -> _Axis:
    """An axis over values, with ticks at 1, 2 or 5 times a power of ten."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) or 1) * 0.5, high + (abs(high) or 1) * 0.5
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = tuple(i * step for i in range(first, last + 1))
    return _Axis(ticks[0], ticks[-1], ticks)


def _place_x(value: float, axis: _Axis) -> float:
    return _LEFT + (value - axis.low) / (axis.high - axis.low) * (_WIDE - _LEFT - _RIGHT)


def _place_y(value: float, axis: _Axis) -> float:
    return _HIGH - _BOTTOM - (value - axis.low) / (axis.high - axis.low) * (_HIGH - _BOTTOM - _TOP - 10)


def _grid(across: _Axis, up: _Axis, x: str, y: str) -> list[str]:
    parts = []
    for tick in up.ticks:
        place = _place_y(tick, up)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{place:.1f}" y2="{place:.1f}" stroke="#3a3a3a"/>')
        parts.append(_text(_LEFT - 7, place + 4, f"{tick:.4g}", "end"))
    parts += [_text(_place_x(tick, across), _HIGH - _BOTTOM + 17, f"{tick:.4g}", "middle") for tick in across.ticks]
    parts.append(_text((_LEFT + _WIDE) / 2, _HIGH - 7, x, "middle"))
    middle = (_HIGH - _BOTTOM + _TOP) / 2
    parts.append(f'<g transform="rotate(-90 13 {middle:.0f})">{_text(13, middle, y, "middle")}</g>')
    return parts


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _drawing(title: str, parts: Sequence[str], height: float = _HIGH) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDE} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f'<text x="0" y="12" class="title">{escape(title)}</text>{"".join(parts)}</svg>'
    )
