"""Pictures as programs store them, and their way through a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813

from answerprint.media import reader
from answerprint.media.reader import Clip
from answerprint.render import decide, job
from answerprint.render.job import JobResult
from answerprint.render.options import Options

_KINDS = {"uint8": "uint8", "uint16": "uint16", "float32": "float"}


def put(path: Path, data: np.ndarray, spec: Any = None, **tags: Any) -> Path:
    """Writes (h, w, channels) with OpenImageIO itself."""
    if spec is None:
        spec = oiio.ImageSpec(data.shape[1], data.shape[0], data.shape[2], oiio.TypeDesc(_KINDS[str(data.dtype)]))
    for name, value in tags.items():
        spec.attribute(name.replace("_", ":"), value)
    output = oiio.ImageOutput.create(str(path))
    assert output.open(str(path), spec) and output.write_image(np.ascontiguousarray(data)) and output.close()
    return path


def copy(source: Path | str, out: Path, **settings: Any) -> JobResult:
    """The clip through a job that multiplies its values by `gain`."""
    gain = settings.pop("gain", 1.0)
    options = Options(shots="none", **settings)
    clip: Clip = reader.open(source, **options.overrides)
    decisions = decide.analyze(clip, [("grade", {"slope": (gain, gain, gain)})], options, output=out)
    return job.deliver(decisions, out, options)
