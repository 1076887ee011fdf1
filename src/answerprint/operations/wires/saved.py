"""The tracks of a shot's wires as an asset of the decision list."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from answerprint.assets import Assets
from answerprint.errors import SettingsError
from answerprint.motion.wires.section import Section
from answerprint.motion.wires.trail import Trail

_ARRAYS = ("points", "deviations", "present", "shown", "widths", "colors")


def save(trails: Sequence[Trail], times: Sequence[Fraction], assets: Assets) -> str:
    """Puts the tracks of a shot among the assets; gives the asset's name.

    Args:
        trails: of its wires.
        times: of its frames.
        assets: of the decision list.
    """
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        header = {
            "times": [str(time) for time in times],
            "wires": [
                {
                    "open": trail.open,
                    "section": {each.name: getattr(trail.section, each.name) for each in fields(Section)},
                }
                for trail in trails
            ],
        }
        # ZipInfo's date is fixed: the same tracks are the same bytes.
        archive.writestr(zipfile.ZipInfo("wires.json"), json.dumps(header))
        for number, trail in enumerate(trails):
            for name in _ARRAYS:
                plane = io.BytesIO()
                np.save(plane, getattr(trail, name), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{number}/{name}.npy"), plane.getvalue())
    return assets.put(data.getvalue(), ".zip")


class SavedTrails:
    """The tracks of a shot among the assets.

    Args:
        path: the asset's file.
    """

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            header: dict[str, Any] = json.loads(archive.read("wires.json"))
            self.trails = [_trail(archive, number, entry) for number, entry in enumerate(header["wires"])]
        self._numbers = {Fraction(time): number for number, time in enumerate(header["times"])}

    def number_at(self, time: Fraction) -> int:
        """The number in its shot of the frame at a time.

        Raises:
            SettingsError: the shot that was analyzed has no frame at that time.
        """
        number = self._numbers.get(time)
        if number is None:
            raise SettingsError(
                f"no wire is tracked for the frame at {float(time):.3f} s: the shot was analyzed otherwise"
            )
        return number


def _trail(archive: zipfile.ZipFile, number: int, entry: dict[str, Any]) -> Trail:
    arrays = {name: np.load(io.BytesIO(archive.read(f"{number}/{name}.npy")), allow_pickle=False) for name in _ARRAYS}
    first, last = entry["open"]
    return Trail(**arrays, open=(bool(first), bool(last)), section=Section(**entry["section"]))
