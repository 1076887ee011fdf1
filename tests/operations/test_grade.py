"""The grade operation: nothing asked, nothing changed; the same numbers as OpenColorIO; files; the matte; chunks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import PyOpenColorIO as ocio  # noqa: N813
import pytest
import torch
from torch import Tensor

from answerprint.color import cdl, cube_file, grade, lut, readback
from answerprint.errors import ColorError, SettingsError
from answerprint.frame import Frame
from answerprint.operations import grade as operation

CPU = torch.device("cpu")
EVERYTHING = {
    "exposure": 0.3,
    "temperature": 20,
    "tint": -10,
    "slope": (1.1, 0.9, 1.0),
    "offset": (0.01, 0.0, -0.02),
    "power": (1.1, 0.9, 1.3),
    "saturation": 0.8,
    "contrast": 1.2,
    "gamma": 1.1,
    "hue": 20,
}


def picture(seed: int = 0, height: int = 61, width: int = 97) -> Tensor:
    """Odd in size, with sub-blacks and super-whites."""
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed)) * 1.4 - 0.2


def frames(count: int = 3, **planes: Tensor) -> list[Frame]:
    return [Frame(picture(i), Fraction(i, 25), **planes) for i in range(count)]


def graded(given: list[Frame], **values: object) -> list[Frame]:
    return list(operation.run(iter(given), operation.Params.of(values), CPU))


def by_opencolorio(transform: object, pixels: Tensor) -> Tensor:
    processor = ocio.Config.CreateRaw().getProcessor(transform).getDefaultCPUProcessor()
    data = np.ascontiguousarray(pixels.reshape(3, -1).T.numpy())
    processor.applyRGB(data)
    return torch.from_numpy(data).T.reshape(pixels.shape)


@pytest.fixture
def noise_lut(tmp_path: Path) -> Path:
    path = tmp_path / "noise.cube"
    cube_file.write(lut.Cube(torch.rand(33, 33, 33, 3, generator=torch.Generator().manual_seed(9))), path)
    return path


def test_with_no_parameter_the_very_frames_come_back() -> None:
    given = frames()
    assert all(after is before for before, after in zip(given, graded(given), strict=True))
    assert graded(given, exposure=1, strength=0)[0] is given[0]


def test_the_whole_chain_is_the_differentiable_functions_in_their_order() -> None:
    wanted = picture().double()
    wanted = grade.white_balance(grade.exposure(wanted, 0.3), 20.0, -10.0)
    wanted = grade.cdl(wanted, (1.1, 0.9, 1.0), (0.01, 0.0, -0.02), (1.1, 0.9, 1.3), 0.8)
    wanted = grade.hue(grade.gamma(grade.contrast(wanted, 1.2), 1.1), 20.0)
    (frame,) = graded(frames(1), **EVERYTHING)
    assert float((frame.pixels - wanted).abs().max()) < 2e-6


def test_the_source_is_never_written_to() -> None:
    given = frames(1)
    graded(given, **EVERYTHING)
    assert torch.equal(given[0].pixels, picture())


def test_slope_offset_power_saturation_are_opencolorios() -> None:
    values = {key: EVERYTHING[key] for key in ("slope", "offset", "power", "saturation")}
    (frame,) = graded(frames(1), **values)
    transform = ocio.CDLTransform(
        slope=values["slope"], offset=values["offset"], power=values["power"], sat=values["saturation"]
    )
    assert float((frame.pixels - by_opencolorio(transform, picture())).abs().max()) < 3e-5


def test_a_lut_is_opencolorios_tetrahedral_result(noise_lut: Path) -> None:
    (frame,) = graded(frames(1), lut=str(noise_lut))
    transform = ocio.FileTransform(str(noise_lut), interpolation=ocio.INTERP_TETRAHEDRAL)
    assert float((frame.pixels - by_opencolorio(transform, picture())).abs().max()) < 1e-5


def test_the_lut_comes_last(noise_lut: Path) -> None:
    (first,) = graded(frames(1), **EVERYTHING)
    (both,) = graded(frames(1), **EVERYTHING, lut=str(noise_lut))
    (second,) = graded([first], lut=str(noise_lut))
    assert float((both.pixels - second.pixels).abs().max()) < 1e-4  # noise is steep: 1e-6 before it is 1e-4 after


def test_a_cdl_file_is_the_same_as_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "shots.ccc"
    warm = cdl.Correction((1.1, 1.0, 0.9), (0.01, 0.0, -0.02), (1.2, 1.0, 0.95), 0.85, id="sh010")
    cdl.write([warm, cdl.Correction(id="sh020")], path)
    (by_file,) = graded(frames(1), cdl=str(path), cdl_id="sh010")
    (by_numbers,) = graded(frames(1), slope="1.1,1,0.9", offset="0.01,0,-0.02", power="1.2,1,0.95", saturation="0.85")
    assert torch.equal(by_file.pixels, by_numbers.pixels)
    given = frames(1)
    assert graded(given, cdl=str(path), cdl_id="sh020")[0] is given[0]


def test_only_the_matte_is_graded() -> None:
    matte = torch.zeros(1, 61, 97)
    matte[:, 10:30] = 1.0
    matte[:, 30:40] = 0.5
    plain, masked = graded(frames(1), **EVERYTHING)[0].pixels, graded(frames(1, matte=matte), **EVERYTHING)[0]
    source = picture()
    assert torch.equal(masked.pixels[:, :10], source[:, :10]) and torch.equal(masked.pixels[:, 40:], source[:, 40:])
    assert torch.equal(masked.pixels[:, 10:30], plain[:, 10:30])
    half = (source[:, 30:40] + plain[:, 30:40]) / 2
    assert torch.allclose(masked.pixels[:, 30:40], half, atol=1e-6)
    assert masked.matte is matte
    weak = graded(frames(1, matte=matte), **EVERYTHING, strength=0.5)[0].pixels
    assert torch.allclose(weak[:, 10:30], (source[:, 10:30] + plain[:, 10:30]) / 2, atol=1e-6)


def test_broken_pixels_stay_where_they_are(noise_lut: Path) -> None:
    pixels = picture()
    pixels[0, 5, 5], pixels[1, 6, 6], pixels[2, 7, 7] = float("nan"), float("inf"), float("-inf")
    broken = Frame(pixels, Fraction(0))
    clean = graded(frames(1), **EVERYTHING)[0].pixels
    changed = (graded([broken], **EVERYTHING)[0].pixels != clean).any(0)
    assert set(map(tuple, changed.nonzero().tolist())) <= {(5, 5), (6, 6), (7, 7)}
    assert bool(graded([broken], lut=str(noise_lut))[0].pixels.isfinite().all())


def test_chunks_are_the_whole_shot(noise_lut: Path) -> None:
    values = {**EVERYTHING, "lut": str(noise_lut)}
    whole = graded(frames(5), **values)
    parts = graded(frames(5)[:2], **values) + graded(frames(5)[2:], **values)
    assert all(torch.equal(a.pixels, b.pixels) and a.time == b.time for a, b in zip(whole, parts, strict=True))


def test_the_number_of_threads_changes_no_bit(noise_lut: Path) -> None:
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            results.append(graded(frames(1), **EVERYTHING, lut=str(noise_lut))[0].pixels)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)


@pytest.mark.nightly
def test_a_lut_on_uhd_costs_less_than_ffmpegs_and_all_parameters_less_than_three_luts(noise_lut: Path) -> None:
    width, height = 3840, 2160
    pixels = torch.linspace(0, 1, width).expand(3, height, width).contiguous()
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format="gbrpf32le", time_base="1/25")
    by_ffmpeg = graph.add("lut3d", file=str(noise_lut), interp="tetrahedral")
    sink = graph.add("buffersink")
    source.link_to(by_ffmpeg)
    by_ffmpeg.link_to(sink)
    graph.configure()
    picture = av.VideoFrame(width, height, "gbrpf32le")
    for plane in picture.planes:
        np.frombuffer(plane, np.float32)[:] = pixels[0].flatten().numpy()
    frame = Frame(pixels, Fraction(0))
    by_lut = operation.run(itertools.repeat(frame), operation.Params(lut=noise_lut), CPU)
    by_numbers = operation.run(itertools.repeat(frame), operation.Params.of(EVERYTHING), CPU)

    def once() -> list[float]:
        times = [time.process_time()]
        source.push(picture)
        sink.pull()
        times.append(time.process_time())
        for stream in (by_lut, by_numbers):
            next(stream)
            times.append(time.process_time())
        return [after - before for before, after in itertools.pairwise(times)]

    once()
    # Processor time of all threads: what else the machine does counts less.
    theirs, ours, numbers = (min(times) for times in zip(*(once() for _ in range(12)), strict=True))
    assert ours < theirs
    assert numbers < 3 * ours


def test_frames_are_taken_one_at_a_time() -> None:
    taken = []

    def source() -> Iterator[Frame]:
        for frame in frames(4):
            taken.append(frame.time)
            yield frame

    stream = operation.run(source(), operation.Params(exposure=1.0), CPU)
    next(stream)
    assert len(taken) == 1


def test_torch_gives_what_the_kernel_gives(noise_lut: Path) -> None:
    params = operation.Params.of({**EVERYTHING, "lut": str(noise_lut)})
    fused = graded(frames(1), **EVERYTHING)[0].pixels
    grading = operation.steps(operation.Params.of(EVERYTHING))
    assert float((grading.apply(picture()) - fused).abs().max()) < 2e-6
    assert (
        float(
            (operation.steps(params).apply(picture()) - graded(frames(1), lut=str(noise_lut), **EVERYTHING)[0].pixels)
            .abs()
            .max()
        )
        < 1e-4
    )


@pytest.mark.parametrize("size", [17, 33, 65])
def test_the_grade_is_saved_as_a_lut_that_reads_back(tmp_path: Path, size: int) -> None:
    params = operation.Params.of({**EVERYTHING, "strength": 0.8})
    cube = operation.cube(params, None, size)
    path = tmp_path / "grade.cube"
    cube_file.write(cube, path)
    assert all(difference.largest < 1e-6 for difference in readback.verify(cube, path))
    inside = frames(1)[0].with_pixels(picture().clamp(0, 1))
    by_lut = graded([inside], lut=str(path))[0].pixels
    direct = graded([inside], **EVERYTHING, strength=0.8)[0].pixels
    assert float((by_lut - direct).abs().mean()) < {17: 3e-3, 33: 1e-3, 65: 5e-4}[size]


def test_the_global_part_is_saved_as_a_cdl() -> None:
    params = operation.Params.of(
        {"exposure": 0.3, "temperature": 20, "slope": (1.1, 0.9, 1), "power": (1, 1.2, 1), "saturation": 0.9}
    )
    correction, left = operation.correction(params, None)
    assert left == []
    by_cdl = graded(
        frames(1),
        slope=correction.slope,
        offset=correction.offset,
        power=correction.power,
        saturation=correction.saturation,
    )
    assert torch.allclose(by_cdl[0].pixels, graded(frames(1), **params.model_dump())[0].pixels, atol=1e-5)
    _, left = operation.correction(operation.Params(hue=10, gamma=1.2, contrast=1.1), None)
    assert left == ["gamma", "hue"]


def test_wrong_values_are_answered() -> None:
    with pytest.raises(SettingsError, match=r"--power: 'power.*' is"):
        operation.Params.of({"power": "1,0,1"}, "--power")
    with pytest.raises(SettingsError, match=r"'slope\.2' is needed"):
        operation.Params.of({"slope": "1,1"})
    with pytest.raises(SettingsError, match="'gamma' is"):
        operation.Params.of({"gamma": 0})


def test_files_that_cannot_be_used_are_answered_before_the_first_frame(tmp_path: Path) -> None:
    letter = tmp_path / "look.cube"
    letter.write_text("dear colorist\n")
    with pytest.raises(ColorError, match=r"look\.cube:1: 'dear' is not a keyword"):
        graded(frames(1), lut=str(letter))
    with pytest.raises(ColorError, match="CDL file not found"):
        graded(frames(1), cdl=str(tmp_path / "none.cc"))
    with pytest.raises(ColorError, match="cdl_id"):
        graded(frames(1), cdl_id="sh010")
