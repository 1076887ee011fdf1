"""The commands as people type them: forms, one-line refusals with exit code 2, and no half files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import clips
from answerprint import cli
from answerprint.media import reader


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return clips.card(tmp_path / "source.mkv", frames=6)


@pytest.fixture
def still(tmp_path: Path) -> Path:
    path = tmp_path / "still.jpg"
    cv2.imwrite(
        str(path), cv2.GaussianBlur(np.random.default_rng(5).integers(0, 255, (48, 64, 3), np.uint8), (0, 0), 4)
    )
    return path


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that a command answers with when it refuses."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(words))
    said = capsys.readouterr().err.strip()
    assert stopped.value.code == 2, said
    lines = [line for line in said.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1 and lines[0].startswith("answerprint: "), said
    return lines[0]


def pictures(path: Path | str) -> list[torch.Tensor]:
    return [frame.pixels for frame in reader.open(path).frames()]


def codes(path: Path) -> list[tuple[torch.Tensor, ...]]:
    return [frame.origin.planes for frame in reader.open(path).frames() if frame.origin is not None]


def test_grade_with_no_parameter_changes_nothing(source: Path, tmp_path: Path) -> None:
    cli.main(["grade", str(source), "-o", str(tmp_path / "out.mkv")])
    for before, after in zip(codes(source), codes(tmp_path / "out.mkv"), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_grade_as_written_in_the_readme(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mov"
    cli.main(["grade", str(source), "-o", str(out), "--slope", "1,1,1", "--saturation", "0", "--exposure", "-0.5"])
    assert reader.open(out).info.codec == "prores"
    picture = pictures(out)[0]
    assert float((picture.amax(0) - picture.amin(0)).median()) < 0.02


@pytest.mark.parametrize("method", ["reinhard", "knn", "combined"])
def test_match(source: Path, still: Path, tmp_path: Path, method: str) -> None:
    out = tmp_path / "out.mkv"
    cli.main(["match", str(source), "-o", str(out), "--reference", str(still), "--method", method])
    assert len(reader.open(out)) == 6
    assert (tmp_path / "out.decisions.toml").exists()
    assert not list(tmp_path.glob("*.job")), "one command leaves no job behind"


@pytest.mark.parametrize("kind", ["gaussian", "bilateral", "median", "guided", "equalize", "clahe", "laplacian"])
def test_filter(source: Path, tmp_path: Path, kind: str) -> None:
    cli.main(["filter", str(source), "-o", str(tmp_path / "out.mkv"), "--kind", kind])
    assert all(bool(torch.isfinite(picture).all()) for picture in pictures(tmp_path / "out.mkv"))


def test_sequences_in_and_out(source: Path, tmp_path: Path) -> None:
    cli.main(["grade", str(source), "-o", str(tmp_path / "f.%04d.png"), "--gamma", "1.2"])
    files = sorted(path.name for path in tmp_path.glob("f.*.png"))
    assert len(files) == 6
    cli.main(["grade", str(tmp_path / "f.%04d.png"), "-o", str(tmp_path / "g.%04d.exr"), "--input-rate", "25"])
    assert len(list(tmp_path.glob("g.*.exr"))) == 6
    worst = max(
        float((a - b).abs().max())
        for a, b in zip(pictures(tmp_path / "f.%04d.png"), pictures(tmp_path / "g.%04d.exr"), strict=True)
    )
    assert worst < 2**-11  # half float


def test_a_report_shows_the_pictures_of_its_own_job(source: Path, tmp_path: Path) -> None:
    """Pictures of an earlier render with other numbers stand beside them; the output names its first picture."""
    cv2.imwrite(str(tmp_path / "f.0002.png"), np.zeros((8, 8, 3), np.uint8))
    cli.main(["grade", str(source), "-o", str(tmp_path / "f.0100.png"), "--exposure", "0", "--report"])
    report = json.loads((tmp_path / "f.0100.report.json").read_text())
    assert report["output"]["numbers"] == "100 to 105"
    assert report["output"]["length"].startswith("6 frames")


def test_a_single_numbered_picture_is_a_sequence_of_one(source: Path, tmp_path: Path) -> None:
    cli.main(["grade", str(source), "-o", str(tmp_path / "one.%04d.png"), "--stop", "1"])
    only = next(tmp_path.glob("one.*.png"))
    cli.main(["grade", str(only), "-o", str(tmp_path / "again.0001.png"), "--saturation", "0.5"])
    assert (tmp_path / "again.0001.png").exists()


def test_run_analyze_edit_render_resume(source: Path, still: Path, tmp_path: Path, capsys: Any) -> None:
    chain = tmp_path / "look.toml"
    chain.write_text(
        f'name = "look"\n[delivery]\npreset = "ffv1"\n[[operation]]\nname = "match"\nreference = "{still.name}"\n'
        'method = "reinhard"\n[[operation]]\nname = "grade"\nsaturation = 0.9\n'
    )
    listing, out = tmp_path / "clip.decisions.toml", tmp_path / "out.mkv"
    cli.main(["analyze", str(source), "--chain", str(chain), "-o", str(listing)])
    cli.main(["render", str(listing), "-o", str(out)])
    first = pictures(out)[0]
    assert (tmp_path / "out.report.html").exists()
    assert json.loads((tmp_path / "out.report.json").read_text())["format"].startswith("answerprint.report")
    listing.write_text(listing.read_text().replace("saturation = 0.9", "saturation = 0.0"))
    cli.main(["render", str(listing), "-o", str(out)])
    second = pictures(out)[0]
    assert float((second.amax(0) - second.amin(0)).max()) < 0.02 < float((first - second).abs().max())
    capsys.readouterr()
    cli.main(["resume", str(out), "--json"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["chunks_rendered"] == 0
    cli.main(["run", str(source), "--chain", str(chain), "-o", str(tmp_path / "run.mkv")])
    assert torch.equal(pictures(tmp_path / "run.mkv")[0], first)


@pytest.mark.parametrize("ending", ["otio", "edl", "csv"])
def test_shots_to_a_list_and_back(source: Path, tmp_path: Path, ending: str) -> None:
    listing = tmp_path / f"clip.{ending}"
    cli.main(["shots", str(source), "-o", str(listing)])
    cli.main(["filter", str(source), "-o", str(tmp_path / "o.mkv"), "--kind", "equalize", "--shots", str(listing)])
    assert len(reader.open(tmp_path / "o.mkv")) == 6


def test_info_as_json(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["info", str(source), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["width"], told["height"], told["frames"]) == (96, 64, 6)


@pytest.mark.parametrize("what", ["decisions", "chain"])
def test_schema_knows_every_parameter(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["schema", what])
    text = capsys.readouterr().out
    assert json.loads(text)["type"] == "object"
    assert "protect_luma" in text and "saturation" in text


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    said = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "answerprint", "--help"], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip() for line in said.stderr.splitlines()}
    assert not loaded & {"torch", "numpy", "av", "cv2", "numba", "scipy"}
    assert "match" in said.stdout and "Color transfer" in said.stdout


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["dataset"], "--frames"),
        (["dataset", "septuplets"], "--output"),
        (["learn-look"], "--ungraded"),
        (["export"], "--sizes"),
        (["train", "denoise"], "--steps"),
        (["analyze"], "--input-matrix"),
    ],
)
def test_help_of_a_command_has_its_options(words: list[str], option: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main([*words, "--help"])
    assert option in capsys.readouterr().out


def test_a_file_that_is_missing_is_told_without_torch(tmp_path: Path) -> None:
    script = f"from answerprint import cli\ncli.main(['info', {str(tmp_path / 'none.mov')!r}])"
    result = subprocess.run([sys.executable, "-X", "importtime", "-c", script], capture_output=True, text=True)
    assert result.returncode == 2 and "none.mov: no such file" in result.stderr
    assert not any(line.endswith("| torch") for line in result.stderr.splitlines())


def test_text_is_not_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "notes.mov"
    path.write_text("this is no film\n" * 40)
    assert "notes.mov" in refused(capsys, "info", str(path))


def test_an_empty_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.mov"
    path.touch()
    assert "empty" in refused(capsys, "info", str(path))


def test_cut_off_in_the_middle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = clips.card(tmp_path / "whole.mov", codec="prores_ks", frames=12)
    short = tmp_path / "short.mov"
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "short.mov" in refused(capsys, "grade", str(short), "-o", str(tmp_path / "o.mov"))
    assert not (tmp_path / "o.mov").exists()


def test_a_missing_picture_is_named(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["grade", str(source), "-o", str(tmp_path / "f.%04d.png")])
    sorted(tmp_path.glob("f.*.png"))[2].unlink()
    capsys.readouterr()
    assert "3" in refused(capsys, "info", str(tmp_path / "f.%04d.png"))


def test_pictures_of_different_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, size in enumerate([(20, 30), (20, 30), (22, 30)], 1):
        cv2.imwrite(str(tmp_path / f"f.{number:04d}.png"), np.zeros((*size, 3), np.uint8))
    said = refused(capsys, "grade", str(tmp_path / "f.%04d.png"), "-o", str(tmp_path / "o.mkv"))
    assert "22" in said and not (tmp_path / "o.mkv").exists()


def test_no_permission(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    source.chmod(0)
    assert "permission" in refused(capsys, "info", str(source)).lower()


def test_output_equal_to_input(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = source.read_bytes()
    refused(capsys, "grade", str(source), "-o", str(source), "--gamma", "2")
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("out", "more", "said"),
    [
        ("a.foo", (), "'.foo'"),
        ("still.png", (), "holds one picture"),
        ("a.mp4", ("--preset", "prores"), "cannot be written to '.mp4'"),
        ("a.mxf", (), "takes pictures from 256 x 120 on"),
        ("a.mov", ("--start", "90000"), "no range"),
    ],
)
def test_what_cannot_be_delivered_is_told_before_any_work(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, more: tuple[str, ...], said: str
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    chain = tmp_path / "r.toml"
    chain.write_text('[[operation]]\nname = "denoise"\n')
    assert said in refused(capsys, "denoise", str(source), "-o", str(folder / out), *more)
    assert said in refused(capsys, "run", str(source), "--chain", str(chain), "-o", str(folder / out), *more)
    assert not list(folder.iterdir())


def test_a_reference_that_is_text(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ref.jpg"
    path.write_text("not a picture")
    assert "ref.jpg" in refused(capsys, "match", str(source), "-o", str(tmp_path / "o.mkv"), "--reference", str(path))


def test_a_lut_of_the_wrong_size(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.cube"
    path.write_text("LUT_3D_SIZE 3\n" + "0.5 0.5 0.5\n" * 26)
    said = refused(capsys, "grade", str(source), "-o", str(tmp_path / "o.mkv"), "--lut", str(path))
    assert "bad.cube" in said and "27" in said


def test_a_lut_with_a_wrong_range(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.cube"
    path.write_text("LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 1.0 0.0\n" + "0.5 0.5 0.5\n" * 8)
    said = refused(capsys, "grade", str(source), "-o", str(tmp_path / "o.mkv"), "--lut", str(path))
    assert "bad.cube:2" in said


def test_a_chain_with_an_unknown_operation(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.toml"
    path.write_text('[[operation]]\nname = "sharpnen"\n')
    said = refused(capsys, "run", str(source), "--chain", str(path), "-o", str(tmp_path / "o.mkv"))
    assert "r.toml:2" in said and "sharpnen" in said and "grade" in said


def test_a_wrong_value_in_a_decision_list(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain, listing = tmp_path / "r.toml", tmp_path / "d.toml"
    chain.write_text('[[operation]]\nname = "grade"\nsaturation = 0.5\n')
    cli.main(["analyze", str(source), "--chain", str(chain), "-o", str(listing)])
    text = listing.read_text()
    listing.write_text(text.replace("saturation = 0.5", 'saturation = "much"'))
    line = next(number for number, row in enumerate(listing.read_text().splitlines(), 1) if '"much"' in row)
    capsys.readouterr()
    said = refused(capsys, "render", str(listing), "-o", str(tmp_path / "o.mkv"))
    assert f"d.toml:{line}" in said and "'much'" in said and "number" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--saturation", "9000"], "saturation"),
        (["--saturatoin", "1"], "saturatoin"),
        (["--preset", "prores-hqq"], "prores-hq"),
        (["--device", "abacus"], "abacus"),
    ],
)
def test_words_that_are_wrong(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert told in refused(capsys, "grade", str(source), "-o", str(tmp_path / "o.mov"), *words)
    assert not (tmp_path / "o.mov").exists()


def test_nan_in_an_exr_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import OpenImageIO

    values = np.full((16, 24, 3), 0.5, np.float32)
    values[3, 7, 1] = np.nan
    path = tmp_path / "f.0001.exr"
    made = OpenImageIO.ImageOutput.create(str(path))
    made.open(str(path), OpenImageIO.ImageSpec(24, 16, 3, "half"))
    made.write_image(values)
    made.close()
    said = refused(capsys, "grade", str(path), "-o", str(tmp_path / "o.0001.exr"), "--gamma", "1.1")
    assert "NaN" in said and "f.0001.exr" in said
    cli.main(["grade", str(path), "-o", str(tmp_path / "o.0001.exr"), "--gamma", "1.1", "--input-nonfinite", "zero"])
    assert bool(torch.isfinite(pictures(tmp_path / "o.0001.exr")[0]).all())


def test_one_frame_only_and_shorter_than_the_handles(tmp_path: Path) -> None:
    source = clips.card(tmp_path / "one.mkv", frames=1)
    cli.main(["deinterlace", str(source), "-o", str(tmp_path / "o.mkv"), "--field-order", "tff"])
    assert len(reader.open(tmp_path / "o.mkv")) == 1


def test_an_odd_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = clips.card(tmp_path / "odd.mkv", width=95, height=63, layout="yuv420p")
    cli.main(["grade", str(source), "-o", str(tmp_path / "o.mkv"), "--gamma", "1.1"])
    info = reader.open(tmp_path / "o.mkv").info
    assert (info.width, info.height) == (95, 63)
    with pytest.raises(SystemExit) as refused:
        cli.main(["grade", str(source), "-o", str(tmp_path / "o.mov"), "--gamma", "1.1"])
    assert refused.value.code == 2 and "95 x 63: prores-hq takes even sizes only" in capsys.readouterr().err
    assert not list(tmp_path.glob("o.mov*"))


def test_train_goes_on_where_it_stopped_and_its_weights_are_added(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    for number in range(12):
        noise = np.random.default_rng(number).integers(0, 255, (96, 96, 3), np.uint8)
        cv2.imwrite(str(data / f"p{number}.png"), cv2.GaussianBlur(noise, (0, 0), 2))
    words = ["train", "denoise", "--data", str(data), "-o", str(run), "--batch", "1", "--crop", "16"]
    words += ["--widths", "8,8,8", "--blocks", "1,1,1", "--validate-every", "2", "--scales", "1"]
    cli.main([*words, "--steps", "2"])
    cli.main([*words, "--steps", "4"])
    assert "finished at step 4" in capsys.readouterr().out
    monkeypatch.setenv("ANSWERPRINT_WEIGHTS", str(tmp_path / "own"))
    assert "no training run" in refused(capsys, "models", "--add", str(data))
    cli.main(["models", "--add", str(run), "--licence", "CC0"])
    cli.main(["models"])
    said = capsys.readouterr().out
    assert (
        f"denoise  {tmp_path / 'own' / 'denoise.safetensors'}" in said and "answerprint train denoise, 4 steps" in said
    )
    assert "unknown recipe" in refused(capsys, "train", "denoize")
    assert "unknown recipe 'denoize'; there are:" in refused(capsys, "train", "denoize", "--data", str(data), "-o", "x")


def test_models_are_listed_with_their_licence(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["models"])
    said = capsys.readouterr().out
    assert "denoise  ships" in said and "commercial use ok" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", [["info"], ["--help"], ["schema"]])
def test_a_full_disk_under_standard_output_is_told(source: Path, words: list[str]) -> None:
    words = [*words, str(source)] if words == ["info"] else words
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "answerprint", *words], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert run.returncode == 2
    assert run.stderr == "answerprint: standard output cannot be written: No space left on device\n"


# Python's own start, before any of our lines, ends in its own words and is no matter of ours: a line tells its end.
PROGRAM = "print(flush=True); import runpy; runpy.run_module('answerprint', run_name='__main__', alter_sys=True)"


def interrupted(moment: Callable[[], bool], *words: str) -> tuple[int, str]:
    """Exit status and words of a command that gets Ctrl-C at the first moment, counted from when Python has started."""
    run = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that runs the tests in the background has them ignore the signal, and a command inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert run.stdout is not None
    run.stdout.readline()
    while not moment() and run.poll() is None:
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGINT)
    return run.wait(), (run.stderr.read() if run.stderr else "").strip()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.15, 0.3, 0.8])
def test_ctrl_c_at_once_is_answered_with_one_line(source: Path, tmp_path: Path, seconds: float) -> None:
    # The clock starts at the first question: when Python has started.
    clock: list[float] = []

    def late() -> bool:
        clock.append(time.monotonic())
        return clock[-1] - clock[0] > seconds

    status, said = interrupted(late, "denoise", str(source), "-o", str(tmp_path / "o.mkv"))
    # Before the first `try` of ours Python ends by the signal itself.
    assert status in (130, -signal.SIGINT)
    assert status != 130 or (said.startswith("answerprint: stopped") and "\n" not in said)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_while_rendering_says_what_is_kept_and_how_to_go_on(tmp_path: Path, workers: str) -> None:
    source, out = clips.card(tmp_path / "long.mkv", frames=200), tmp_path / "o.mkv"
    chunks = tmp_path / "o.mkv.job" / "chunks"
    words = ["filter", str(source), "-o", str(out), "--kind", "median", "--chunk", "2", "--workers", workers]
    status, said = interrupted(lambda: chunks.is_dir() and len(list(chunks.iterdir())) > 2, *words)
    lines = [line for line in said.splitlines() if not line.startswith("note: ")]
    assert status == 130 and len(lines) == 1, said
    assert re.search(rf"stopped; \d+ of 200 frames are kept; to go on: answerprint resume {out}$", lines[0])
    cli.main(["resume", str(out)])
    assert len(reader.open(out)) == 200
