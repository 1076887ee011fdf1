"""Peak memory of a render with a look."""

from __future__ import annotations

import tempfile
from pathlib import Path

from answerprint.color import cube_file, lut
from answerprint.metrics.tables import Table, at_most
from benchmarks import media
from benchmarks.look.methods import SIZES


def memory(quick: bool) -> Table:
    """Peak memory of one process that renders with a look, by its parameters and by its LUT, up to 8K."""
    rows = list[tuple[str, float, float]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        values = {"slope": [1.1, 0.95, 0.9], "power": [1.1, 0.95, 1.05], "saturation": 0.9}
        cube_file.write(lut.bake(lambda pixels: pixels**1.1, 33), folder / "look.cube")
        for size in ("UHD",) if quick else ("UHD", "8K"):
            width, height = SIZES[size]
            source = folder / f"{size}.mov"
            media.footage(source, width, height, 6, codec="prores_ks")
            peaks = [
                media.peak(source, folder / "out.mov", [["grade", chosen]])
                for chosen in (values, {"lut": str(folder / "look.cube")})
            ]
            rows.append((size, peaks[0], peaks[1]))
    return Table(
        "peak memory of a whole render, MB",
        ("size", "parameters", "LUT"),
        rows,
        notes=("ProRes in and out, decoding and encoding included, one process",),
        targets=tuple(at_most(f"memory at {row[0]}", max(row[1], row[2]), 4000, "MB") for row in rows),
    )
