"""Low light: brightens underexposed footage by one steady mapping per shot.

AEPR, section 3.3. Frames spread through the shot are made small (the ratio leaves the smallest thing of interest
visible), the small pictures enhanced, and the enhancement carried over to full size by a curve per channel:
mixed histogram matching of the small pictures before and after (equations 6 to 8), then color level compensation, what
the enhanced small picture of each frame has and the curve alone has not. The enhancement (`model`) is a classical
estimate of the illumination (after LIME), or MBLLEN, the paper's network: trained on pictures that a gamma curve made
dark, it comes nearer to such pictures, but leaves a gray veil and a cast over real nights, so it is not the default.

For film the curve is found once per shot, or at keys where the light of the shot changes, and interpolated smoothly.
Frames that fade from or to black are left out, so the curve does not follow a fade, and the compensation is steadied
over 5 frames and carries color alone: nothing pumps. Highlights keep a slope, skin its hue, and black
stays black. Footage that is not dark is left as it is. HDR and linear footage is enhanced as its diffuse range looks on
an SDR display; what is brighter than diffuse white is untouched.

White noise is measured and removed beforehand where there is nothing else; what is left is amplified with the light
(`noise_gain` in the findings): put `denoise` in front, which measures better than behind
(`make bench NAME=lowlight`).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import torch
from torch import Tensor

from answerprint.color import spaces
from answerprint.color.lut import Cube, bake
from answerprint.frame import Frame, Shot
from answerprint.operation import windows
from answerprint.operations.lowlight import analysis, exposure
from answerprint.operations.lowlight.display import as_coded, as_displayed, display_luma
from answerprint.operations.lowlight.lee import suppress_noise
from answerprint.operations.lowlight.mapping import ShotCurves
from answerprint.operations.lowlight.model import Enhance, load_model
from answerprint.operations.lowlight.params import Findings as Findings
from answerprint.operations.lowlight.params import Params as Params

HANDLES = 2
COST = 0.1

_SHARES = (1, 2, 3, 2, 1)  # of neighbors in the compensation: later frames weigh as much as earlier ones


def handles(params: Params) -> int:
    """Neighbors on each side, which only the compensation needs."""
    return HANDLES if params.compensation and params.strength else 0


def networks(params: Params) -> tuple[str, ...]:
    """MBLLEN, where it is asked for and no file of weights is named."""
    return ("mbllen",) if params.model == "mbllen" and params.weights is None else ()


def cube(params: Params, findings: Findings, size: int = 33) -> Cube:
    """The mapping as a LUT, strength included, compensation left out; of several keys it is the middle one."""
    mapping = ShotCurves(params, findings).at(findings.times[len(findings.times) // 2])
    comments = []
    if params.compensation and findings.strength:
        comments.append("the color level compensation is not in this LUT: it looks at the picture around a pixel")
    if params.denoise and findings.strength and max(findings.noise) > analysis.CODE:
        comments.append("taking out noise before the lift is not in this LUT")
    if len(findings.times) > 1:
        comments.append(f"the curves move over {len(findings.times)} keys; this is the middle one")
    return bake(mapping.apply, size, title=f"lowlight: {params.model}", comments=tuple(comments))


def color_part(findings: Findings) -> tuple[Findings, Fraction]:
    """The findings, and the time (s) of the middle key."""
    return findings, Fraction(findings.times[len(findings.times) // 2])


def analyze(shot: Shot, params: Params, device: torch.device) -> Findings:
    """Measures how dark the shot is and finds the curves that brighten it.

    Raises:
        WeightsError: the weights of MBLLEN cannot be read.
    """
    return analysis.find_curves(shot, params, device)


def run(frames: Iterator[Frame], params: Params, findings: Findings, device: torch.device) -> Iterator[Frame]:
    """Each frame under the curves of its time, with its own color levels where compensation is asked for.

    Raises:
        WeightsError: the weights of MBLLEN cannot be read.
    """
    if findings.strength == 0:
        yield from frames
        return
    curves = ShotCurves(params, findings)
    enhance = load_model(params, device) if handles(params) else None
    fields: dict[object, Tensor] = {}
    for window in windows(frames, handles(params)):
        field = None
        if enhance is not None:
            fresh = {frame.time: frame for frame in window.frames if frame.time not in fields}
            fields = {frame.time: fields[frame.time] for frame in window.frames if frame.time in fields}
            fields |= {time: color_field(frame, curves, findings, enhance) for time, frame in fresh.items()}
            field = sum((fields[f.time] * w for f, w in zip(window.frames, _SHARES, strict=True)), torch.zeros(1)) / 9
        yield map_frame(window.center, curves, field)


def map_frame(frame: Frame, curves: ShotCurves, field: Tensor | None) -> Frame:
    """A frame under the curves of its time.

    Args:
        frame: the frame.
        curves: of the shot.
        field: color level compensation (3, h, w) over the whole picture; None is none.
    """
    params, findings, transfer = curves.params, curves.findings, frame.color.transfer
    picture = as_displayed(frame.pixels, transfer)
    noisy = params.denoise > 0 and max(findings.noise) > 0
    mapping = curves.at(float(frame.time), full=noisy)
    source = picture
    if noisy:
        source = _mix(picture, suppress_noise(picture, findings.noise, spaces.LUMA_709), params.denoise)
    result = mapping.apply(source, field, params.compensation, findings.ratio)
    if noisy:
        result = _mix(picture, result, findings.strength)
    if picture is not frame.pixels:
        # Above diffuse white the code values are those of the source.
        result = torch.where(picture.amax(dim=0) < 1, as_coded(result, transfer), frame.pixels)
    return frame.with_pixels(result)


def _mix(source: Tensor, result: Tensor, share: float) -> Tensor:
    return result if share == 1 else torch.lerp(source, result, share)


def color_field(frame: Frame, curves: ShotCurves, findings: Findings, enhance: Enhance) -> Tensor:
    """Color level compensation of one frame, (3, h, w); none where it is darker than the shot: in fades.

    Noise has no part in it: the pixels of the small picture are means.
    """
    small = as_displayed(exposure.downsample(frame.pixels, findings.ratio), frame.color.transfer)
    mapping = curves.at(float(frame.time), full=True)
    field = exposure.color_compensation(curves.to_target(enhance(small)), mapping.apply(small), mapping.weights)
    ratio = float(display_luma(small).mean()) / max(curves.level(float(frame.time)), 1e-4)
    place = min(max((ratio - 0.4) / 0.4, 0.0), 1.0)
    return field * (place * place * (3 - 2 * place))
