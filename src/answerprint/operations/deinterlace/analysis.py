"""Field order, combs, cadence and noise of a shot, from brightness (H, W) of runs of frames by their number."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

from torch import Tensor

from answerprint.fields import cadence, combs
from answerprint.fields.cadence import FieldOrder
from answerprint.fields.weave import brightness, weave
from answerprint.frame import Frame, Shot

Order = Literal["tff", "bff", "progressive"]
Run = dict[int, Tensor]

_RUNS, _RUN = 3, 11  # runs that are looked at, spread through the shot, and frames of each

# Share of the combs of two moments below which both fields of a picture are of one: likely, and beyond doubt. Pictures
# that were shot whole have up to 0.35 where they move slowly, and 0.02 where they move fast; fields of almost the same
# moment, as where film was repeated but not quite, have 0.15.
_LIKELY, _CERTAIN = 0.4, 0.1


def frame_number(frame: Frame, frame_rate: Fraction) -> int:
    """The number of a frame in the clip, from its time."""
    return round(frame.time * frame_rate)


def measure(shot: Shot, field_order: Order | None) -> dict[str, Any]:
    """Fields of the operation's Findings.

    Args:
        shot: of which up to three runs of frames are read.
        field_order: what the user says; None measures it.
    """
    runs = [[(frame_number(frame, shot.rate), frame) for frame in run] for run in _read_runs(shot)]
    flag = runs[0][0][1].field_order if runs and runs[0] else "unknown"
    lumas = [{number: brightness(frame.pixels) for number, frame in run} for run in runs]
    couples = [(run[n], run[n + 1]) for run in lumas for n in run if n + 1 in run]
    levels = sorted(combs.noise_level(a, b) for a, b in couples[::4])
    noise = min(levels[len(levels) // 2], 0.02) if levels else 0.0
    measured = cadence.field_order([combs.measure_pair(a, b, noise) for a, b in couples])
    order, confidence = _resolve_order(field_order, measured, flag)
    findings: dict[str, Any] = {
        "field_order": order,
        "order_confidence": round(confidence, 3),
        "noise": round(noise, 5),
        "combed": _combed_share(lumas, noise),
        "frame_rate": str(shot.rate),
        "cadence": "none",
        "phase": 0,
    }
    findings |= _cadence(lumas, findings, measured, flag)
    return findings | _mixture(lumas, findings, field_order, flag)


def _read_runs(shot: Shot) -> list[list[Frame]]:
    if shot.length <= _RUNS * _RUN:
        return [list(shot.frames())]
    starts = [i * (shot.length - _RUN) // (_RUNS - 1) for i in range(_RUNS)]
    return [list(shot.frames(start, start + _RUN)) for start in starts]


def _resolve_order(choice: Order | None, measured: FieldOrder, flag: str) -> tuple[Order, float]:
    """The order and its confidence: the user's choice, else what was measured, else the flag in the file."""
    if choice is not None:
        return choice, 1.0
    if measured.name != "unknown":
        return measured.name, measured.confidence
    # Nothing moves: no order can be measured, and none can be wrong.
    return ("tff" if flag == "tff" else "bff" if flag == "bff" else "progressive"), 0.0


def _combed_share(runs: list[Run], noise: float) -> float:
    hits = [combs.is_combed(picture, beside(run, number), noise) for run in runs for number, picture in run.items()]
    return round(sum(hits) / len(hits), 3) if hits else 0.0


def _cadence(runs: list[Run], findings: dict[str, Any], measured: FieldOrder, flag: str) -> dict[str, Any]:
    """Entries of the findings that name the cadence."""
    order, confidence = findings["field_order"], findings["order_confidence"]
    if order == "progressive":
        whole = flag in ("tff", "bff") and confidence > 0
        return {"cadence": "2:2", "cadence_confidence": confidence} if whole else {}
    if measured.crossed:
        return {"cadence": "2:2", "phase": 1, "cadence_confidence": confidence}
    differences: dict[int, float] = {}
    for run in runs:
        first = 0 if order == "tff" else 1
        fields = {2 * n: picture[first::2] for n, picture in run.items()}
        fields |= {2 * n + 1: picture[1 - first :: 2] for n, picture in run.items()}
        differences |= cadence.repeat_differences(fields, findings["noise"])
    pattern = cadence.find_pulldown(differences)
    if pattern.confidence < 0.4:
        return {}
    return {"cadence": "3:2", "phase": pattern.phase, "cadence_confidence": round(pattern.confidence, 3)}


def _mixture(runs: list[Run], findings: dict[str, Any], choice: Order | None, flag: str) -> dict[str, Any]:
    """Entries of the findings where some pictures last two fields and others do not, without the pattern of a cadence.

    Whole frames come in runs; a picture that lasts two fields alone has to be beyond doubt. The order of the fields is
    measured on the frames of two moments.
    """
    if findings["cadence"] == "3:2" or findings["combed"] == 0:
        return {}
    noise = findings["noise"]
    shares = [{n: combs.moment_share(run[n], beside(run, n), noise) for n in run} for run in runs]
    split = [{n for n, share in run.items() if share is not None and share >= _LIKELY} for run in shares]
    pairs = [
        (run[n], run[n + 1]) for run, numbers in zip(runs, split, strict=True) for n in numbers if n + 1 in numbers
    ]
    if not pairs:
        return {}
    measured = cadence.field_order([combs.measure_pair(a, b, noise) for a, b in pairs])
    order, confidence = _resolve_order(choice, measured, flag)
    if order == "progressive":
        return {}
    crossed = [weave_across(run, top_first=order == "tff") for run in runs]
    # Pictures spread over two frames: a cadence, unless some of these are of two moments too.
    spread = findings["cadence"] == "2:2" and findings["phase"] == 1
    if (spread and _split_count(crossed, noise) < 2) or not _has_whole_pictures(runs, crossed, noise):
        return {}
    return {
        "field_order": order,
        "order_confidence": round(confidence, 3),
        "cadence": "none",
        "cadence_confidence": 0.0,
        "mixed": True,
    }


def _split_count(runs: list[Run], noise: float) -> int:
    """Pictures whose fields are of two moments."""
    shares = [combs.moment_share(run[n], beside(run, n), noise) for run in runs for n in run]
    return sum(share is not None and share >= _LIKELY for share in shares)


def _has_whole_pictures(runs: list[Run], crossed: list[Run], noise: float) -> bool:
    """Whether pictures last two fields: two successive frames, or two pictures anywhere beyond doubt."""
    for run in runs:
        if any(lasts(run, n, noise) and lasts(run, n + 1, noise) for n in run if n + 1 in run):
            return True
    return sum(lasts(run, n, noise, _CERTAIN) for run in (*runs, *crossed) for n in run) >= 2


def weave_across(frames: Run, *, top_first: bool) -> Run:
    """The second field of each frame woven with the first one of the next, by the number of the former."""
    pairs = {n: (frames[n], frames[n + 1]) for n in frames if n + 1 in frames}
    return {n: weave(b, a) if top_first else weave(a, b) for n, (a, b) in pairs.items()}


def beside(pictures: Run, number: int) -> list[Tensor]:
    """The pictures before and after that of this number, as far as they are there."""
    return [pictures[n] for n in (number - 1, number + 1) if n in pictures]


def lasts(pictures: Run, number: int, noise: float, limit: float = _LIKELY) -> bool:
    """Whether both fields of a picture (H, W) show one moment, judged by those before and after it."""
    picture, neighbors = pictures[number], beside(pictures, number)
    share = combs.moment_share(picture, neighbors, noise)
    return share is not None and share < limit and not combs.is_combed(picture, neighbors, noise)
