"""Training sets from footage: what repeats, fades or blurs stays out, clips are split whole, stopping costs nothing."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from answerprint import cli
from answerprint.errors import TrainingError
from answerprint.train import data, footage
from footage import shared

SIZE = (120, 160)


def card(seed: int, size: tuple[int, int] = (240, 400)) -> np.ndarray:
    """A sharp picture with shapes of many sizes and a color of its own."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.integers(0, 256, (6, 10, 3), dtype=np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)
    for _ in range(400):
        x, y = rng.integers(0, size[1]), rng.integers(0, size[0])
        cv2.rectangle(coarse, (x, y), (x + 7, y + 5), rng.integers(0, 256, 3).tolist(), -1)
    return coarse


def pan(seed: int, count: int, speed: int = 4) -> list[np.ndarray]:
    picture = card(seed)
    return [picture[20 : 20 + SIZE[0], 4 + speed * t : 4 + speed * t + SIZE[1]] for t in range(count)]


def clip(path: Path, pictures: list[np.ndarray], layout: str = "yuv444p", codec: str = "ffv1") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(24))
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], layout
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with a moving, a still, a blurred shot and one that fades to black; another with the moving one again."""
    folder = tmp_path_factory.mktemp("archive")
    blurred = [cv2.GaussianBlur(picture, (0, 0), 6) for picture in pan(3, 48)]
    fading = [(picture * max(0.0, 1 - t / 30)).astype(np.uint8) for t, picture in enumerate(pan(4, 48, 2))]
    clip(folder / "programme.mkv", [*pan(1, 48), *([card(2)[: SIZE[0], : SIZE[1]]] * 48), *blurred, *fading])
    clip(folder / "trailer.mkv", [*pan(1, 48), *pan(9, 48)])
    return folder


def made(archive: Path, folder: Path, **said: Any) -> tuple[Any, list[str]]:
    lines = []
    params = footage.Params.of({"every": 0.25, "min_contrast": 0.2} | said)
    return footage.make([archive], folder, params, lines.append), lines


def test_what_teaches_nothing_is_left_out(archive: Path, tmp_path: Path) -> None:
    (programme, trailer), lines = made(archive, tmp_path)
    kept = {shot: [look.frame for look in programme.frames if look.shot == shot] for shot in range(4)}
    assert programme.survey.shots == 4
    assert len(kept[0]) >= 3, "a pan shows something new"
    assert len(kept[1]) == 1, "a still picture is one picture"
    assert not kept[2], "blurred"
    assert all(frame < 144 + 20 for frame in kept[3]), "faded"
    assert {look.shot for look in trailer.frames} == {1}, "the shot that another clip has is left out"
    assert {"blurred", "faded", "near-duplicates"} <= set(programme.dropped)
    assert any("near-duplicates" in line and "programme.mkv: 4 shots" in line for line in lines)


def test_the_set_is_read_as_it_was_split(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choices, _ = made(archive, tmp_path, licence="CC0", source="our archive", ratio=(1, 1, 1))
    monkeypatch.setattr(data, "SMALLEST", 64)
    splits = data.load([tmp_path])
    manifest = json.loads((tmp_path / footage.MANIFEST).read_text())
    assert {row["split"] for row in manifest["clips"]} == {choice.split for choice in choices}
    rows = {row["clip"]: row for row in splits.manifest}
    assert len(rows) == sum(len(choice.frames) for choice in choices) == len(manifest["samples"])
    for sample in manifest["samples"]:
        assert rows[sample["sample"]]["split"] == sample["split"] == sample["sample"].partition("/")[0]
        assert (rows[sample["sample"]]["source"], rows[sample["sample"]]["licence"]) == ("our archive", "CC0")
        assert len(sample["sha256"]) == 64


def test_stopping_and_going_on_equals_not_stopping(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(archive, tmp_path / "whole")
    written = []
    plain = footage._picture

    def killed(*given: Any) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(given[0])
        plain(*given)

    monkeypatch.setattr(footage, "_picture", killed)
    with pytest.raises(KeyboardInterrupt):
        made(archive, tmp_path / "parts")
    monkeypatch.setattr(footage, "_picture", plain)
    monkeypatch.setattr(footage, "survey", lambda *given: pytest.fail("read twice"))
    made(archive, tmp_path / "parts")

    def content(folder: Path) -> dict[Path, bytes]:
        return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    assert content(tmp_path / "whole") == content(tmp_path / "parts")


def test_an_earlier_choice_is_no_part_of_the_set(archive: Path, tmp_path: Path) -> None:
    made(archive, tmp_path)
    few, _ = made(archive, tmp_path, max_per_shot=1)
    assert len(data.find([tmp_path])) == sum(len(choice.frames) for choice in few)


def test_more_than_8_bits_become_16_and_sequences_stay_together(tmp_path: Path) -> None:
    pictures = [np.uint16(picture.astype(np.uint16) * 257) for picture in pan(5, 40)]
    path = tmp_path / "in/ten.mkv"
    path.parent.mkdir()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "gbrp10"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb48le").reformat(format="gbrp10")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (choice,), _ = made(tmp_path / "in", tmp_path / "out", frames=3)
    (source, *_) = data.find([tmp_path / "out"])
    assert [file.name for file in source.files] == ["im1.png", "im2.png", "im3.png"]
    first = choice.frames[0].frame - 1
    for offset, file in enumerate(source.files):
        read = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert read.dtype == np.uint16
        ten = np.rint(pictures[first + offset] / 65535 * 1023)
        assert np.abs(np.rint(read[..., ::-1] / 65535 * 1023) - ten).max() <= 1
        assert len(np.unique(read)) > 256 or len(np.unique(ten)) <= 256


def test_masks_beside_sequences_are_no_footage(tmp_path: Path) -> None:
    for folder in ("JPEGImages/480p/bear", "Annotations/480p/bear", "masks"):
        (tmp_path / folder).mkdir(parents=True)
        for t in range(footage.boundary.SHORTEST + 1):  # type: ignore[attr-defined]
            cv2.imwrite(str(tmp_path / folder / f"{t:05}.png"), np.full((32, 48, 3), 9 * t, np.uint8))
    assert footage.clips([tmp_path]) == [tmp_path / "JPEGImages/480p/bear"]
    assert footage.clips([tmp_path / "masks"]) == [tmp_path / "masks"]


def test_no_kind_of_content_outweighs_the_others() -> None:
    sizes = np.array([40, 3, 3, 2, 4])
    allowed = footage._allowed(sizes, 0.3)
    assert allowed.max() <= 0.3 * allowed.sum() and (allowed[1:] == sizes[1:]).all()
    rng = np.random.default_rng(0)

    def looks(count: int, level: float) -> tuple[footage.FrameStats, ...]:
        small = np.clip(level + rng.normal(0, 0.05, (count, 432)), 0, 1)
        return tuple(footage.FrameStats(n, n, 0.5, 0.2, True, list(row)) for n, row in enumerate(small))

    many = footage.Survey("many.mov", "a" * 64, 8, 60, looks(60, 0.2))
    few = footage.Survey("few.mov", "b" * 64, 8, 12, looks(12, 0.8))
    choices = footage.choose([many, few], footage.Params(max_share=0.5, min_difference=0.0))
    kept = [len(choice.frames) for choice in choices]
    assert kept[1] == 12 and kept[0] < 60 and choices[0].dropped["more of the same content"] == 60 - kept[0]


def test_what_cannot_be_used_is_named_and_the_rest_is_used(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = tmp_path / "mixed"
    clip(mixed / "good.mkv", pan(1, 48))
    (mixed / "broken.mp4").write_bytes(b"no video")
    (mixed / "again.mkv").write_bytes((mixed / "good.mkv").read_bytes())
    clip(mixed / "tiny.mkv", [np.zeros((8, 8, 3), np.uint8)] * 10)
    _, lines = made(mixed, tmp_path / "set")
    said = "\n".join(lines)
    assert "broken.mp4" in said and "same file as" in said and "tiny.mkv: 8x8 is too small" in said
    for arguments, words in (
        ([str(tmp_path / "absent")], "no such footage"),
        ([], "name at least one"),
        ([str(mixed / "tiny.mkv")], "no footage in there that can be used"),
        ([str(mixed / "good.mkv"), "--max-per-shot", "0"], "'max_per_shot' is '0'"),
    ):
        with pytest.raises(SystemExit):
            cli.main(["dataset", *arguments, "-o", str(tmp_path / "other")])
        assert words in capsys.readouterr().err
    with pytest.raises(TrainingError, match="worth keeping"):
        made(clip(tmp_path / "black.mkv", [np.zeros((*SIZE, 3), np.uint8)] * 12), tmp_path / "none")


@pytest.mark.footage
def test_real_footage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = shared("video", "bikes_640x272.mp4")
    cli.main(["dataset", str(path), "-o", str(tmp_path), "--licence", "BSD-3-Clause"])
    said = capsys.readouterr().out
    assert "6 shots" in said and f"written: {tmp_path / 'manifest.json'}" in said
    assert 8 <= len(data.find([tmp_path])) <= 21
