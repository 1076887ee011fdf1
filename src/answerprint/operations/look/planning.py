"""What of a look is fitted: its stages, refusals of parameters that contradict each other, the network's prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from answerprint.color import solve, values
from answerprint.color.objective import Objective
from answerprint.errors import SettingsError
from answerprint.frame import Frame, Shot
from answerprint.operations.look import drift, sampling, targets

if TYPE_CHECKING:
    from answerprint.operations.look import Params

_COLORLESS = 1.5  # CIELAB units of a and b under which a shot has no color


def plan(params: Params) -> solve.Plan:
    """The stages that are tuned, without the values that stay neutral.

    Raises:
        SettingsError: parameters that contradict each other.
    """
    if params.reference is None and params.fit is None:
        raise SettingsError(
            "look: nothing to take a look from; give a still (reference), a graded clip (fit) or what "
            "learn-look wrote (learned)"
        )
    if params.fit is not None and params.tune != "parameters":
        raise SettingsError(
            f"tune {params.tune}: the network takes a reference still; a graded clip needs tune parameters"
        )
    known = {*values.CDL, "curve", *values.SEVEN, "sharpness"}
    unknown = [name for name in params.hold if name not in known]
    if unknown:
        raise SettingsError(f"hold: '{unknown[0]}' is no parameter of a look; there are: {', '.join(sorted(known))}")
    stages = _stages(params)
    if not stages and not params.lut:
        raise SettingsError("hold: every parameter is held neutral, so there is no look left to fit; release one")
    if params.keys > 1 and params.tune != "parameters":
        raise SettingsError(f"keys are fitted by tune parameters; tune {params.tune} gives one set for the whole shot")
    if params.lut and params.tune != "parameters":
        raise SettingsError(f"lut is fitted by tune parameters; tune {params.tune} takes everything from the network")
    return solve.Plan(tuple(stages), params.iterations, params.lut_size if params.lut else 0)


def _stages(params: Params) -> list[tuple[str, tuple[str, ...]]]:
    if params.method == "ncst":
        if params.lut:
            raise SettingsError("lut is a stage of method extended; ncst has seven parameters and no LUT")
        stages = [("seven", tuple(name for name in values.SEVEN if name not in params.hold))]
    else:
        stages = [("CDL", tuple(name for name in values.CDL if name not in params.hold))]
        if params.curve and "curve" not in params.hold:
            stages.append(("curve", values.CURVES))
    return [(label, names) for label, names in stages if names]


def predict(
    objective: Objective,
    params: Params,
    pictures: tuple[Sequence[Frame], Tensor],
    device: torch.device,
    say: Callable[[str], None] | None,
) -> tuple[solve.Solution, float]:
    """The grade that the network gives, tuned on this shot or not, and its sharpness.

    Args:
        objective: what the grade is measured by.
        params: method, tune, iterations, hold.
        pictures: representative frames of the shot; the reference (3, h, w).
        device: where the network runs.
        say: hears of the progress.

    Raises:
        WeightsError: the network's weights are missing.
    """
    from answerprint.nets import look as nets

    network, extended, iterations = nets.load().to(device), params.method == "extended", 0
    frames, still = pictures
    contents = [picture.clamp(0, 1).to(device) for picture in sampling.shrink(frames, targets.NETWORK_PIXELS)]
    reference = still.clamp(0, 1).to(device)
    if params.tune == "network":
        iterations = nets.tune(
            network, contents, reference, extended, nets.Schedule(params.iterations, seed=params.seed)
        )
    free = nets.predict(network, contents, reference, extended).cpu()
    names, sharpness = (nets.EXTENDED, 0.0) if extended else (values.SEVEN, float(torch.tanh(free[-1])))
    tensors = values.bound(free if extended else free[:-1], names)
    tensors = {name: value for name, value in tensors.items() if not _held_neutral(name, params)}
    curves = values.CURVES if params.curve else ()
    stages = [("CDL", values.CDL), ("curve", curves)] if extended else [("seven", values.SEVEN)]
    staged = [(label, {name: tensors[name] for name in stage if name in tensors}) for label, stage in stages]
    solution = solve.measure(objective, staged, iterations)
    if say is not None:
        say(f"network: {iterations} iterations, distance {solution.before:.2f} -> {solution.after:.2f}")
    return solution, 0.0 if "sharpness" in params.hold else round(sharpness, 4)


def _held_neutral(name: str, params: Params) -> bool:
    return name in params.hold or (name in values.CURVES and "curve" in params.hold)


def warnings(params: Params, frames: Sequence[Frame], shot: Shot) -> list[str]:
    """Notes on parameters that have no effect and on shots that a look can do little for."""
    notes = []
    if "frames" in params.model_fields_set and shot.length < params.frames:
        available = f"{shot.length} frame{'s' * (shot.length > 1)}"
        notes.append(f"the look is tuned on the {available} of the shot: {params.frames} were asked for")
    own = set(values.SEVEN) | {"sharpness"} if params.method == "ncst" else {*values.CDL, "curve"}
    idle = [name for name in params.hold if name not in own]
    if idle:
        notes.append(f"hold {', '.join(idle)}: method {params.method} has none of it")
    if max(float(drift.lab_colors(frame, params.seed)[:, 1:].abs().max()) for frame in frames) < _COLORLESS:
        notes.append("the shot has no color: it can be tinted, no colors can be told apart in it")
    return notes
