"""Cuts, dissolves and fades are found where they are, and moving cameras, flashes and noise are none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from answerprint.errors import ShotError
from answerprint.frame import Frame
from answerprint.shots import boundary
from footage import shared

Pictures = NDArray[np.uint8]  # (frames, height, width, RGB)


@dataclass(frozen=True)
class Info:
    rate: Fraction = Fraction(25)


@dataclass(frozen=True)
class Footage:
    """Pictures from memory, as detection takes them from any clip."""

    pictures: Pictures
    info: Info = Info()

    def __len__(self) -> int:
        return len(self.pictures)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        for number in range(start, len(self.pictures) if stop is None else stop):
            picture = self.pictures[number]
            pixels = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / 255)
            yield Frame(pixels, Fraction(number, 25))


def found(pictures: Pictures) -> list[tuple[int, str]]:
    """Where shots begin after the first, and how; the shots are checked to cover the clip."""
    shots = boundary.detect(Footage(pictures))
    assert [shot.name for shot in shots] == [f"{number:03d}" for number in range(1, len(shots) + 1)]
    assert shots[0].start == 0 and shots[-1].stop == len(pictures)
    assert all(before.stop == after.start for before, after in pairwise(shots))
    return [(shot.start, shot.transition) for shot in shots[1:]]


def scene(seed: int, frames: int, speed: float = 2.0) -> Pictures:
    """A camera that pans over a soft random picture of its own color."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (7, 14, 3)).astype(np.float32) * random.uniform(0.3, 1, 3).astype(np.float32)
    wide = cv2.resize(coarse, (640, 90), interpolation=cv2.INTER_CUBIC)
    grain = random.normal(0, 4, (frames, 90, 160, 1))
    views = [wide[:, round(speed * frame) % 480 :][:, :160] for frame in range(frames)]
    return np.clip(np.stack(views) + grain, 0, 255).astype(np.uint8)


def dissolve(one: Pictures, other: Pictures, frames: int) -> Pictures:
    share = (np.arange(1, frames + 1) / (frames + 1))[:, None, None, None]
    mixed = (one[-frames:] * (1 - share) + other[:frames] * share).astype(np.uint8)
    return np.concatenate([one[:-frames], mixed, other[frames:]])


def real(name: str) -> Pictures:
    """A clip of the development data, 320 pixels wide."""
    av = pytest.importorskip("av")
    with av.open(str(shared("video", name))) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack([cv2.resize(frame, (320, 180), interpolation=cv2.INTER_AREA) for frame in frames])


def test_hard_cuts_are_found_on_the_frame() -> None:
    lengths = [20, 7, 31, 12]
    pictures = np.concatenate([scene(seed, length) for seed, length in enumerate(lengths)])
    assert found(pictures) == [(20, "cut"), (27, "cut"), (58, "cut")]


def test_only_the_range_is_looked_at_and_numbers_stay_those_of_the_clip() -> None:
    pictures = np.concatenate([scene(seed, length) for seed, length in enumerate([20, 25, 31])])
    shots = boundary.detect(Footage(pictures), start=10, stop=60)
    assert [(shot.start, shot.stop) for shot in shots] == [(10, 20), (20, 45), (45, 60)]


@pytest.mark.parametrize("length", [1, 2, 5, 40])
def test_a_clip_without_cuts_is_one_shot(length: int) -> None:
    assert found(scene(1, length, speed=5.0)) == []


def test_a_clip_without_frames_has_no_shots() -> None:
    with pytest.raises(ShotError, match="no frames"):
        boundary.detect(Footage(scene(1, 1)[:0]))


@pytest.mark.parametrize("flash", [1, 2, 3])
def test_a_flash_is_no_cut(flash: int) -> None:
    pictures = scene(2, 40).copy()
    pictures[20 : 20 + flash] = 250
    assert found(pictures) == []


def test_noise_is_no_cut() -> None:
    noise = np.random.default_rng(0).normal(0, 40, (30, 90, 160, 3))
    assert found(np.clip(scene(3, 30) + noise, 0, 255).astype(np.uint8)) == []


def test_a_light_that_is_switched_slowly_is_no_dissolve() -> None:
    dim = np.clip(np.linspace(1, 0.35, 40), 0.35, 1)[:, None, None, None]
    assert found((scene(4, 40) * dim).astype(np.uint8)) == []


@pytest.mark.parametrize("length", [8, 12, 24, 36])
def test_a_dissolve_is_cut_near_its_middle(length: int) -> None:
    pictures = dissolve(scene(5, 60, speed=0.5), scene(6, 60, speed=0.5), length)
    ((start, transition),) = found(pictures)
    assert transition == "dissolve"
    assert abs(start - (60 - length / 2)) <= max(2, length / 6)


def test_a_fade_through_black_is_cut_in_the_black() -> None:
    down = np.linspace(1, 0, 12)[:, None, None, None]
    before, after = scene(7, 40).astype(np.float64), scene(8, 40).astype(np.float64)
    before[-12:] *= down
    after[:12] *= down[::-1]
    black = np.zeros((6, 90, 160, 3))
    ((start, transition),) = found(np.concatenate([before, black, after]).astype(np.uint8))
    assert transition == "fade"
    assert 38 <= start <= 48


def test_frames_that_are_not_finite_do_not_stop_it() -> None:
    pixels = torch.full((3, 9, 16), float("nan"))
    clip = Footage(scene(9, 3))
    frames: Sequence[Frame] = [Frame(pixels, Fraction(number)) for number in range(3)]
    object.__setattr__(clip, "frames", lambda start, stop: iter(frames))
    assert len(boundary.detect(clip)) == 1


CLIPS = ["car-roundabout", "cows", "dance-twirl", "drift-chicane", "drift-straight", "goat", "motocross-jump"]
CLIPS += ["paragliding-launch", "scooter-black", "soapbox"]


@pytest.mark.footage
def test_real_moving_shots_put_together_come_apart_again() -> None:
    clips = [real(f"davis_{name}_854x480.mp4") for name in CLIPS]
    true = np.cumsum([len(clip) for clip in clips])[:-1].tolist()
    assert found(np.concatenate(clips)) == [(cut, "cut") for cut in true]


@pytest.mark.footage
@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        ("street_night_640x360.mp4", []),
        ("oldfilm/old_001.mp4", []),
        ("oldfilm/old_002.mp4", []),
        ("oldfilm/old_003.mp4", []),
        ("oldfilm/abomb_blast_432x320.mp4", [44, 134, 299]),
        ("interlaced/presenter_480i_mpeg2.mp4", [88]),
        ("bikes_640x272.mp4", [30, 76, 137, 187, 242]),
        ("tokyo_walk_854x480.mp4", []),
    ],
)
def test_real_footage_is_cut_where_a_person_sees_a_cut(name: str, cuts: list[int]) -> None:
    assert [start for start, _ in found(real(name))] == cuts
