"""Training data: layouts are known, clips are split whole, bad files are named and left out."""

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from torch import nn

from answerprint.errors import TrainingError
from answerprint.inference import weights
from answerprint.train import data, params
from footage import shared
from pictures import spots


def load(folders: list[Path], smallest: int = 96, **options: Any) -> data.Splits:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "SMALLEST", smallest)
        return data.load(folders, **options)


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (120, 160)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), spots(np.random.default_rng(seed), 6, 8, *size))
    return path


def names(folder: Path, **more: Any) -> list[str]:
    return [source.name for source in data.find([folder], **more)]


def test_photographs_are_clips_of_one_frame_even_when_numbered_with_gaps(tmp_path: Path) -> None:
    for index in (0, 1, 5):
        picture(tmp_path / f"photo_{index:03}.png", index)
    assert names(tmp_path) == ["photo_000.png", "photo_001.png", "photo_005.png"]


def test_septuplets_and_davis_and_videos_are_sequences(tmp_path: Path) -> None:
    for t in range(1, 8):
        picture(tmp_path / f"vimeo/sequences/00001/0389/im{t}.png", t)
    for t in range(3):
        picture(tmp_path / f"davis/JPEGImages/480p/bear/{t:05}.jpg", 20 + t)
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for t in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((120, 160, 3), 40 * t, np.uint8), "rgb24")))
        container.mux(stream.encode(None))
    lengths = {source.name: len(source.files) for source in data.find([tmp_path])}
    assert lengths == {"clip.mp4": 1, "davis/JPEGImages/480p/bear": 3, "vimeo/sequences/00001/0389": 7}
    splits = load([tmp_path], ratio=(1, 0, 0), smallest=64)
    frames = {clip.source.name: clip.versions[0].shape for clip in splits.training.clips}
    assert frames["clip.mp4"] == (4, 120, 160, 3)
    assert frames["vimeo/sequences/00001/0389"] == (7, 120, 160, 3)
    video = next(clip for clip in splits.training.clips if clip.source.name == "clip.mp4")
    assert abs(float(video.versions[0][3].mean()) - 120) < 3


def test_the_answers_beside_a_sets_pictures_are_no_pictures_to_learn_from(tmp_path: Path) -> None:
    for t in range(3):
        picture(tmp_path / f"DAVIS/JPEGImages/480p/bear/{t:05}.jpg", t)
        picture(tmp_path / f"DAVIS/Annotations/480p/bear/{t:05}.png", 20 + t)
        picture(tmp_path / f"msrc/images/{t}_{3 * t}.jpg", 30 + t)
        picture(tmp_path / f"msrc/labels/{t}_{3 * t}.png", 40 + t)
    found = ["DAVIS/JPEGImages/480p/bear", *(f"msrc/images/{t}_{3 * t}.jpg" for t in range(3))]
    assert names(tmp_path) == found
    assert len(names(tmp_path / "msrc/labels")) == 3, "unless they are what was asked for"


def test_a_clip_is_in_one_split_and_stays_there(tmp_path: Path) -> None:
    for index in range(60):
        picture(tmp_path / f"photo_{index * 2}.png", index)
    splits = load([tmp_path], ratio=(8, 1, 1), smallest=64)
    parts = [{clip.source.name for clip in part.clips} for part in (splits.training, splits.validation, splits.test)]
    assert sum(map(len, parts)) == len(set().union(*parts)) == 60
    assert 38 <= len(parts[0]) <= 56 and parts[1] and parts[2]
    moved = tmp_path / "again"
    (tmp_path / "photo_0.png").rename(picture(moved / "other name.png"))  # the bytes decide, not the place
    first = next(row["split"] for row in splits.manifest if row["clip"] == "photo_0.png")
    assert [row["split"] for row in load([tmp_path], smallest=64).manifest if "other" in row["clip"]] == [first]


def test_the_manifest_names_hash_source_and_licence(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "SOURCES.tsv").write_text("file\trepository\tlicence\na.png\tsome/where\tCC0\n")
    (row,) = load([tmp_path], smallest=64).manifest
    assert (row["source"], row["licence"]) == ("some/where", "CC0")
    assert len(row["sha256"]) == 64


def test_bad_files_are_named_and_the_rest_is_used(tmp_path: Path) -> None:
    picture(tmp_path / "good.png")
    picture(tmp_path / "tiny.png", size=(20, 30))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    for t in range(4):
        picture(tmp_path / f"frames/{t}.png", t, size=(120, 160) if t < 3 else (100, 160))
    splits = load([tmp_path], ratio=(1, 0, 0))
    assert {clip.source.name for clip in splits.training.clips} == {"good.png", "frames"}
    said = "\n".join(splits.training.skipped)
    for words in (
        "broken.jpg: no picture",
        "broken.mp4: no video",
        "tiny.png: 30x20 is too small",
        "3.png: 160x100 in a",
    ):
        assert words in said


def test_nothing_usable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no pictures, frame sequences or video"):
        load([tmp_path])
    with pytest.raises(TrainingError, match="no such data folder"):
        load([tmp_path / "absent"])
    picture(tmp_path / "tiny.png", size=(20, 30))
    with pytest.raises(TrainingError, match=r"no training clip is left.*tiny\.png"):
        load([tmp_path])


def test_patterns_leave_files_out(tmp_path: Path) -> None:
    picture(tmp_path / "mate_1.png")
    picture(tmp_path / "free_1.png", 1)
    assert names(tmp_path, exclude=["mate_*"]) == ["free_1.png"]


def test_named_clips_train_whatever_their_hash(tmp_path: Path) -> None:
    for index in range(12):
        picture(tmp_path / f"still_{index}.png", index)
        picture(tmp_path / "walks" / f"walk_{index}.png", 100 + index)

    def trained_on(**told: Any) -> set[str]:
        return {clip.source.name for clip in load([tmp_path], ratio=(1, 1, 1), **told).training.clips}

    by_hash, chosen = trained_on(), trained_on(force_train=["walk_*"])
    walks = {f"walks/walk_{index}.png" for index in range(12)}
    assert not walks <= by_hash and chosen == by_hash | walks


def test_what_weights_have_seen_is_known_by_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index, name in enumerate(("a.png", "b.png", "old/c.png")):
        picture(tmp_path / "data" / name, index)
    first, _, third = data.find([tmp_path / "data"])
    monkeypatch.setenv("ANSWERPRINT_WEIGHTS", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    card = weights.Card(name="toy", seen=(first.key,))
    weights.save(tmp_path / "own/toy.safetensors", nn.Conv2d(1, 1, 1), params.Training(), card)
    first.files[0].rename(tmp_path / "data" / "renamed.png")

    def left(*exclude: str) -> list[str]:
        return [source.name for source in data.unseen(tmp_path / "data", ("toy", "absent"), exclude)]

    assert left() == ["b.png", third.name] and left("old/*") == ["b.png"]
    (tmp_path / "data/b.png").unlink()
    with pytest.raises(TrainingError, match="nothing in there but what the weights of toy, absent were trained on"):
        left("old/*")
    with pytest.raises(TrainingError, match=r"nothing in there but names like \*"):
        left("*")


def test_crops_are_pieces_of_the_picture_turned_and_mirrored(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    splits = load([tmp_path], ratio=(1, 0, 0), smallest=64)
    whole = cv2.imread(str(path))[..., ::-1].astype(np.float32)
    seen = set()
    for seed in range(12):
        crop = splits.training.crop(np.random.default_rng(seed), 48)[0]
        turned = [np.rot90(each, k) for each in (crop, crop[:, ::-1]) for k in range(4)]
        errors = [
            cv2.matchTemplate(whole, np.float32(each), cv2.TM_SQDIFF).min()
            for each in map(np.ascontiguousarray, turned)
        ]
        assert min(errors) < 100  # a sum of squares over 48 x 48 codes, by FFT
        seen.add(int(np.argmin(errors)))
    assert len(seen) >= 4


def test_a_still_becomes_a_sequence_by_gliding(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    splits = load([tmp_path], ratio=(1, 0, 0), smallest=64)
    pieces = [splits.training.crop(np.random.default_rng(seed), 48, frames=5) for seed in range(8)]
    assert all(piece.shape == (5, 48, 48, 3) for piece in pieces)
    assert any(not np.array_equal(piece[0], piece[1]) for piece in pieces)
    assert path.exists()


@pytest.mark.parametrize("frames", [1, 5])
def test_pieces_are_of_one_size_though_some_clips_are_smaller(tmp_path: Path, frames: int) -> None:
    """A batch is a stack of pieces: one that came smaller ended the run, at its first validation as a rule."""
    picture(tmp_path / "small.png", 1, size=(100, 140))
    picture(tmp_path / "large.png", 2, size=(240, 320))
    library = load([tmp_path], ratio=(1, 0, 0)).training
    rng = np.random.default_rng(1)
    shapes = {library.crop(rng, 128, frames).shape for _ in range(16)}
    assert shapes == {(frames, 128, 128, 3)}


def test_a_picture_that_is_too_small_at_its_scale_is_told_with_the_scale(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", size=(240, 320))
    picture(tmp_path / "b.png", size=(120, 160))
    splits = load([tmp_path], scales=(0.5, 0.25), ratio=(1, 0, 0))
    assert splits.training.skipped == (
        "b.png: 160x120 is too small: 96 pixels of its shorter side are needed at 0.5 of its size",
    )


def test_scales_hold_each_clip_at_several_sizes(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", size=(240, 320))
    (clip,) = load([tmp_path], scales=(1.0, 0.5, 0.25), smallest=96, ratio=(1, 0, 0)).training.clips
    assert [version.shape[1:3] for version in clip.versions] == [(240, 320), (120, 160)]


@pytest.mark.footage
def test_real_photographs_and_clips_load() -> None:
    folder = shared("train", "photos", "skimage")
    splits = load([folder, shared("vos", "davis", "dog", "frames")], scales=(0.5,), ratio=(1, 0, 0), longest=4)
    assert len(splits.training.clips) == 5
    assert max(len(clip.versions[0]) for clip in splits.training.clips) == 4


def test_what_stands_upright_stays_upright_where_told(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 160).astype(np.uint8)[:, None, None].repeat(120, 1).repeat(3, 2)
    cv2.imwrite(str(tmp_path / "ramp.png"), ramp)
    library = load([tmp_path], ratio=(1, 0, 0)).training
    rng = np.random.default_rng(1)
    for _ in range(12):
        crop = library.crop(rng, 64, frames=3, turned=False).astype(int)
        assert np.abs(np.diff(crop, axis=2)).max() == 0
    turned = [np.abs(np.diff(library.crop(rng, 64).astype(int), axis=2)).max() for _ in range(12)]
    assert max(turned) > 0


def test_only_longer_clips_are_asked_for_by_length(tmp_path: Path) -> None:
    picture(tmp_path / "one.png")
    for t in range(4):
        picture(tmp_path / f"shot/frames/{t:03}.png", t)
    library = load([tmp_path], ratio=(1, 0, 0)).training
    assert [clip.source.name for clip in library.longer(3).clips] == ["shot/frames"]
    assert len(library.longer(9).clips) == 2
