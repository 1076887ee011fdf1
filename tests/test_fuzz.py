"""Every kind of input, damaged at random: an answer in one line, no traceback, no half file, the source untouched.

`make fuzz` runs it for five minutes; `make fuzz SECONDS=3600 SEED=7` for an hour with other damage. A failure names the
case, whose files are kept; `make fuzz SEED=7 CASE=exr:12` runs one again.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

import clips
import fuzzing
from answerprint import cli

pytestmark = [pytest.mark.nightly, pytest.mark.fuzz, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]

SEED, ONLY = os.environ.get("FUZZ_SEED", "0"), os.environ.get("FUZZ_CASE", "")
BUDGET = float(os.environ.get("FUZZ_SECONDS", "300"))
DELIVER = ("grade", "{file}", "-o", "out.mov", "--saturation", "0.5")


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        files: patterns of the good files in the folder of samples; each in turn is damaged.
        commands: what is run on it; `{file}` is the damaged file.
        is_text: whether it is text.
    """

    files: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    is_text: bool = False


VIDEO = (("info", "{file}"), DELIVER, (*DELIVER, "--input-incomplete", "keep"))
STILL = (("info", "{file}"), ("grade", "{file}", "-o", "out.0001.exr", "--exposure", "1"))
SHOTS = (("grade", "clip.mkv", "-o", "out.mov", "--saturation", "0.5", "--shots", "{file}"),)
KINDS = {
    "mov": Kind(("v.mov", "v.mp4"), VIDEO),
    "mkv": Kind(("clip.mkv", "h264.mkv"), VIDEO),
    "broadcast": Kind(("v.mxf", "v.ts", "v.avi"), VIDEO),
    "exr": Kind(("p.0001.exr",), STILL),
    "dpx": Kind(("p.0001.dpx",), STILL),
    "tiff": Kind(("p.0001.tif",), STILL),
    "png": Kind(("p.0001.png", "p.0001.jpg"), STILL),
    "lut": Kind(("*.cube",), (("grade", "clip.mkv", "-o", "out.mov", "--lut", "{file}"),), True),
    "cdl": Kind(("*.cdl", "*.cc", "*.ccc"), (("grade", "clip.mkv", "-o", "out.mov", "--cdl", "{file}"),), True),
    "edl": Kind(("*.edl",), SHOTS, True),
    "otio": Kind(("*.otio",), SHOTS, True),
    "csv": Kind(("*.csv",), SHOTS, True),
    "chain": Kind(("chain.toml",), (("run", "clip.mkv", "--chain", "{file}", "-o", "out.mov"),), True),
    "decisions": Kind(
        ("d.toml",), (("render", "{file}", "-o", "out.mov"), ("export", "{file}", "-o", "out", "--sizes", "5")), True
    ),
    "reference": Kind(
        ("p.0001.png", "p.0001.jpg"),
        (("match", "clip.mkv", "-o", "out.mov", "--method", "reinhard", "--reference", "{file}"),),
    ),
    "prior": Kind(("prior.json",), (("cutout", "clip.mkv", "-o", "out.mov", "--prior", "{file}"),), True),
    "moods": Kind(
        ("moods.toml",), (("mood", "clip.mkv", "-o", "out.mov", "--mood", "calm", "--moods", "{file}"),), True
    ),
    "ledger": Kind(("ledger.sqlite",), (("resume", "out.mov"),)),
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small good files of every kind."""
    folder = tmp_path_factory.mktemp("samples")
    size = {"frames": 3, "width": 64, "height": 48, "rate": Fraction(25)}
    clips.card(folder / "clip.mkv", sounds=[clips.Sound()], **size)
    for name, codec, layout in (
        ("v.mov", "prores_ks", "yuv422p10"),
        ("v.mp4", "libx264", "yuv420p"),
        ("h264.mkv", "libx264", "yuv420p"),
        ("v.mxf", "mpeg2video", "yuv420p"),
        ("v.ts", "mpeg2video", "yuv420p"),
        ("v.avi", "ffv1", "yuv420p"),
    ):
        clips.card(folder / name, codec=codec, layout=layout, **size)
    cli.main(["grade", str(folder / "clip.mkv"), "-o", str(folder / "p.%04d.exr"), "--stop", "1"])
    first = next(folder.glob("p.*.exr"))
    first.rename(folder / "p.0001.exr")
    for ending in ("dpx", "tif", "png"):
        cli.main(["grade", str(folder / "p.0001.exr"), "-o", str(folder / f"p.0001.{ending}")])
    cv2.imwrite(str(folder / "p.0001.jpg"), np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    _write_texts(folder)
    return folder


def _write_texts(folder: Path) -> None:
    clip = str(folder / "clip.mkv")
    (folder / "chain.toml").write_text(
        'name = "x"\nshots = "none"\nchunk = 2\n[delivery]\npreset = "prores-hq"\n[[operation]]\nname = "grade"\n'
        'saturation = 0.5\nslope = [1.1, 1.0, 0.9]\n[[operation]]\nname = "filter"\nkind = "median"\n'
    )
    (folder / "prior.json").write_text(
        json.dumps([{"frame": 0, "size": [64, 48], "polygon": [[10, 10], [40, 12], [30, 40]], "foreground": []}])
    )
    (folder / "moods.toml").write_text("[calm]\nwarm = 0.5\nheavy = -0.5\nactive = -1.0\nsource = 'me'\n")
    (folder / "range.cube").write_text(
        'TITLE "a"\nLUT_3D_SIZE 2\nLUT_IN_VIDEO_RANGE\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 1\n' + "0.1 0.2 0.3\n" * 8
    )
    (folder / "pair.edl").write_text(
        "TITLE: X\nFCM: NON-DROP FRAME\n001  A V     C        00:00:00:00 00:00:00:01 00:00:00:00 00:00:00:01\n"
        "002  A V     C        00:00:00:01 00:00:00:01 00:00:00:01 00:00:00:01\n"
        "002  B V     W001 002 00:00:00:01 00:00:00:03 00:00:00:01 00:00:00:03\n* TO CLIP NAME: b\n"
        "002  B A     C        00:00:00:01 00:00:00:03 00:00:00:01 00:00:00:03\n"
    )
    for ending in ("edl", "otio", "csv"):
        cli.main(["shots", clip, "-o", str(folder / f"cuts.{ending}")])
    cli.main(["analyze", clip, "--chain", str(folder / "chain.toml"), "-o", str(folder / "d.toml")])
    cli.main(["export", str(folder / "d.toml"), "-o", str(folder), "--cube", "--cdl", "--sizes", "3"])
    cli.main(["render", str(folder / "d.toml"), "-o", str(folder / "out.mov"), "--no-report"])
    shutil.copy(folder / "out.mov.job" / "ledger.sqlite", folder)


@pytest.fixture(scope="module")
def server() -> Iterator[fuzzing.Server]:
    with fuzzing.Server() as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_input_is_answered_in_one_line(
    kind: str, samples: Path, server: fuzzing.Server, tmp_path: Path
) -> None:
    faults, number, end = [], 0, time.monotonic() + BUDGET / len(KINDS)
    while time.monotonic() < end and len(faults) < 5:
        number += 1
        if ONLY and f"{kind}:{number}" != ONLY:
            if number > 100_000:
                return
            continue
        folder = tmp_path / str(number)
        if fault := _case(kind, number, samples, folder, server):
            faults.append(fault)
        else:
            shutil.rmtree(folder)
        if ONLY:
            break
    assert not faults, "\n".join(faults)


def _case(kind: str, number: int, samples: Path, folder: Path, server: fuzzing.Server) -> str:
    """Damages one file and runs one command on it; what is wrong with the answer, in words."""
    chance, this = random.Random(f"{SEED} {kind} {number}"), KINDS[kind]
    good = sorted(path for pattern in this.files for path in samples.glob(pattern))
    source = chance.choice(good)
    others = [path.read_bytes() for path in good]
    data = fuzzing.damage(source.read_bytes(), others, chance, this.is_text)
    folder.mkdir()
    shutil.copy(samples / "clip.mkv", folder)
    if kind == "ledger":
        shutil.copytree(samples / "out.mov.job", folder / "out.mov.job")
        shutil.copy(samples / "d.toml", folder)
        bad = folder / "out.mov.job" / "ledger.sqlite"
    else:
        bad = folder / source.name
    bad.write_bytes(data)
    words = [word.format(file=bad.name) for word in chance.choice(this.commands)]
    answer = server.run(words, folder)
    faults = list(answer.faults())
    if kind != "ledger" and bad.read_bytes() != data:
        faults.append("the source was changed")
    if answer.status == 2 and [*folder.glob("out.mov"), *folder.glob("out.0001.exr"), *folder.glob(".out*")]:
        faults.append("a file is left under the name of the output, or a temporary one")
    if not faults:
        return ""
    command = f"cd {folder}; answerprint {' '.join(words)}"
    lines = [f"{kind}:{number} of seed {SEED}: {', '.join(faults)}", f"  {command}", *answer.said.splitlines()[-4:]]
    return "\n    ".join(lines)
