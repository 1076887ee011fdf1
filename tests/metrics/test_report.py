"""The report is complete in itself, escapes what it is given, and says the same in the page and in the JSON."""

import base64
import json
import re
import weakref
from collections.abc import Iterator
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from pydantic import Field

from answerprint.errors import DeliveryError
from answerprint.frame import ColorTags
from answerprint.metrics import page, report, words
from answerprint.operation import Operation
from answerprint.settings import Settings
from footage import shared

REC709 = ColorTags("bt709", "bt709", "bt709", "limited", "left")
HLG = ColorTags("bt2020", "arib-std-b67", "bt2020nc", "limited", "left")


class Params(Settings):
    radius: int = Field(2, ge=1, description="Radius of the kernel in pixels. Larger is softer.")
    keep_luma: bool = Field(False, description="Whether luma is left alone")
    mask: str | None = Field(None, description="A picture.")


class Findings(Settings):
    noise: float = Field(description="RGB noise, standard deviation.")
    curve: list[float] = Field([], description="Points of the curve.")


def picture(before: torch.Tensor, after: torch.Tensor, color: ColorTags = REC709, **more: Any) -> report.ShotPicture:
    return report.ShotPicture(Fraction(1001, 24000), "01:00:00:01", before, after, color, **more)


def gray(level: float = 0.5, height: int = 90, width: int = 160) -> torch.Tensor:
    return torch.full((3, height, width), level)


def shot(*pictures: report.ShotPicture, decisions: tuple[words.OperationReport, ...] = ()) -> report.ShotReport:
    return report.ShotReport("001", 10, 58, "01:00:00:10", "01:00:02:10", pictures, decisions, 12.5, 3, 1)


def made(tmp_path: Path, *shots: report.ShotReport, **more: Any) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {"title": "out.mov", "shots": shots, **more}
    report.write(report.Report(**values), tmp_path / "r.html", tmp_path / "r.json")
    data = json.loads(
        (tmp_path / "r.json").read_text(encoding="utf-8"),
        parse_constant=lambda name: pytest.fail(f"{name} is not JSON"),
    )
    return (tmp_path / "r.html").read_text(encoding="utf-8"), data


def images(page: str) -> list[np.ndarray]:
    found = re.findall(r'<img class="(?:before|after)" src="data:image/jpeg;base64,([^"]+)"', page)
    return [cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), 1)[..., ::-1].astype(int) for data in found]


class Outside(HTMLParser):
    """Collects whatever a page would load from elsewhere, and whether its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "input", "link", "br"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data") and not (value or "").startswith(("data:", "#")):
                self.loads.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(tmp_path: Path) -> None:
    page, _ = made(
        tmp_path, shot(picture(gray(), gray(0.6)), picture(gray(), gray(0.7))), shot(picture(gray(), gray()))
    )
    parser = Outside()
    parser.feed(page)
    assert parser.loads == []
    assert parser.open == []
    assert "url(" not in page and "@import" not in page and "http" not in page


def test_text_is_escaped_everywhere(tmp_path: Path) -> None:
    evil = '<script>alert("&")</script>'
    operation = words.OperationReport(evil, evil, True, True, (words.ValueRow(evil, evil, "x", evil),), (), (evil,))
    one = report.ShotReport(evil, 0, 5, evil, evil, [picture(gray(), gray())], [operation])
    page, data = made(
        tmp_path, one, one, title=evil, source=[(evil, evil)], notes=[evil], unknown=[evil], hashes={evil: evil}
    )
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") >= 12
    assert data["title"] == evil


def test_pictures_arrive_as_they_were(tmp_path: Path) -> None:
    before = torch.tensor([0.8, 0.4, 0.2]).view(3, 1, 1).expand(3, 540, 1920).contiguous()
    page, _ = made(tmp_path, shot(picture(before, before * 0.5)))
    first, second = images(page)
    assert first.shape[:2] == (270, 960)
    assert first[100, 100] == pytest.approx([204, 102, 51], abs=2)
    assert second[100, 100] == pytest.approx([102, 51, 26], abs=2)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (1, 900), (2000, 2)])
def test_pictures_of_any_size_are_shown(tmp_path: Path, height: int, width: int) -> None:
    page, data = made(tmp_path, shot(picture(gray(0.5, height, width), gray(0.5, height * 2, width * 2))))
    assert images(page)[0][0, 0] == pytest.approx([128, 128, 128], abs=2)
    assert data["shots"][0]["pictures"][0]["after"]["width"] == width * 2


def test_the_wipe_has_the_shape_of_the_delivered_picture(tmp_path: Path) -> None:
    page, _ = made(
        tmp_path, shot(picture(gray(height=576, width=720), gray(height=576, width=720), sar=Fraction(64, 45)))
    )
    assert "--ratio:1.7778" in page


def test_what_a_screen_cannot_show_is_stated(tmp_path: Path) -> None:
    after = gray()
    after[0, :45] = 1.2
    after[1, :, :16] = -0.3
    page, data = made(tmp_path, shot(picture(gray(), after)))
    assert "After: 10.0 % below black, 50.0 % above white, clipped in this picture." in page
    measured = data["shots"][0]["pictures"][0]["after"]
    assert (measured["below"], measured["above"]) == (0.1, 0.5)
    assert (measured["lowest"], measured["highest"]) == pytest.approx((-0.3, 1.2))
    assert "Before: " not in page


def test_pixels_that_are_no_numbers_are_stated(tmp_path: Path) -> None:
    after = gray()
    after[0, :9] = float("nan")
    page, data = made(tmp_path, shot(picture(gray(), after)), shot(picture(gray(), gray(float("nan")))))
    assert "10.0 % not finite" in page
    assert data["shots"][0]["pictures"][0]["after"]["highest"] == 0.5
    assert data["shots"][1]["pictures"][0]["after"]["mean_luma"] is None


@pytest.mark.parametrize(
    ("color", "words"),
    [
        (HLG, "HLG encoding and BT.2020 primaries, shown without a display transform"),
        (ColorTags("bt709", "linear", "rgb", "full"), "linear light encoding, shown without a display transform"),
        (ColorTags("bt2020", "smpte2084", "bt2020nc"), "PQ encoding and BT.2020 primaries"),
        (REC709, ""),
        (ColorTags(), ""),
    ],
)
def test_other_encodings_are_labeled(tmp_path: Path, color: ColorTags, words: str) -> None:
    page, _ = made(tmp_path, shot(picture(gray(), gray(), color)))
    assert (words.lower() in page.lower()) if words else ("display transform" not in page)


def test_a_changed_encoding_is_labeled_on_its_side(tmp_path: Path) -> None:
    page, data = made(tmp_path, shot(picture(gray(), gray(), HLG, color_after=REC709)))
    assert "Before: HLG encoding" in page and "After: HLG" not in page
    assert data["shots"][0]["pictures"][0]["after"]["color"]["transfer"] == "bt709"


def test_json_keeps_its_keys(tmp_path: Path) -> None:
    operation = words.OperationReport(
        "denoise", params=(words.ValueRow("a", float("nan"), (1, Fraction(24000, 1001)), "help"),)
    )
    _, data = made(tmp_path, shot(picture(gray(), gray()), decisions=(operation,)), seconds=float("inf"))
    assert list(data) == [
        *("format", "title", "source", "output", "seconds", "frames_per_second"),
        *("shots", "notes", "unknown", "versions", "hashes"),
    ]
    assert list(data["shots"][0]) == [
        *("name", "start", "stop", "timecode_in", "timecode_out", "seconds"),
        *("chunks_rendered", "chunks_reused", "pictures", "decisions"),
    ]
    assert data["seconds"] is None
    row = data["shots"][0]["decisions"][0]["params"][0]
    assert row == {"name": "a", "value": None, "default": [1, "24000/1001"], "help": "help"}
    assert data["shots"][0]["pictures"][0]["time"] == "1001/24000"
    assert "base64" not in json.dumps(data)


def test_decisions_are_put_into_words() -> None:
    sentences = words.sentences("soften", Params(radius=5), Findings(noise=-0.0123, curve=[i / 10 for i in range(20)]))
    assert sentences == (
        "Radius of the kernel in pixels: 5, where the default is 2.",
        "Found: RGB noise, standard deviation: \N{MINUS SIGN}0.0123.",
        "Found: points of the curve: 20 values from 0 to 1.9.",
        "Left at the default: keep luma no, mask not set.",
    )


def test_words_say_what_was_locked_and_what_was_off() -> None:
    assert words.sentences("soften", Params(), locked=True)[0].startswith("Soften was locked by a person")
    assert words.sentences("soften", Params(), enabled=False) == ("Soften is switched off in this shot.",)


def test_an_operation_describes_itself(tmp_path: Path) -> None:
    module = ModuleType("soften", "Softens a picture.\n\nMore words.")
    module.Params, module.Findings = Params, Findings  # type: ignore[attr-defined]
    described = words.describe(Operation("soften", module), Params(radius=3), Findings(noise=0.5), locked=True)
    page, data = made(tmp_path, shot(picture(gray(), gray()), decisions=(described,)))
    assert "Softens a picture." in page and "locked" in page
    decision = data["shots"][0]["decisions"][0]
    assert decision["params"][0] == {
        "name": "radius",
        "value": 3,
        "default": 2,
        "help": "Radius of the kernel in pixels. Larger is softer.",
    }
    assert decision["findings"][0]["value"] == 0.5


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "not set"),
        (True, "yes"),
        (0.1 + 0.2, "0.3"),
        (-1.5, "\N{MINUS SIGN}1.5"),
        ([], "none"),
        ((1.0, 0.92), "1, 0.92"),
        ({"gain": 2.0}, "gain 2"),
        ([[1, 2], [3, 4]], "1, 2; 3, 4"),
        (float("nan"), "not a finite number"),
    ],
)
def test_values_are_said_plainly(value: object, said: str) -> None:
    assert words.say(value) == said


def test_one_shot_at_a_time_is_held(tmp_path: Path) -> None:
    earlier: list[weakref.ref[torch.Tensor]] = []

    def shots() -> Iterator[report.ShotReport]:
        for _ in range(3):
            assert [held() for held in earlier] == [None] * len(earlier)
            yield fresh()

    def fresh() -> report.ShotReport:
        pixels = gray()
        earlier.append(weakref.ref(pixels))
        return shot(picture(pixels, pixels))

    report.write(report.Report("t", shots=shots()), tmp_path / "r.html", tmp_path / "r.json")
    assert len(earlier) == 3


def test_an_empty_report_says_so(tmp_path: Path) -> None:
    page, data = made(tmp_path, report.ShotReport("001", 0, 1))
    assert "No operation worked on this shot." in page and "not known" in page
    assert data["shots"][0]["pictures"] == []


def test_an_unwritable_place_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "r.html").mkdir()
    with pytest.raises(DeliveryError, match=r"r\.html: the report cannot be written"):
        report.write(report.Report("t"), tmp_path / "r.html", tmp_path / "r.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.json"]


def test_a_name_that_is_no_text_is_shown(tmp_path: Path) -> None:
    page, _ = made(tmp_path, report.ShotReport("001", 0, 1), title="old\udcff.mov")
    assert "old\\udcff.mov" in page


def test_versions_name_what_worked() -> None:
    assert {"answerprint", "python", "torch", "PyAV", "libavcodec"} <= set(page.versions())


@pytest.mark.footage
def test_a_shot_of_real_footage_is_light(tmp_path: Path) -> None:
    with av.open(str(shared("video", "dance_960x540.mp4"))) as container:
        frames = [
            frame.to_ndarray(format="rgb24") for frame, _ in zip(container.decode(video=0), range(3), strict=False)
        ]
    pixels = [torch.from_numpy(frame).permute(2, 0, 1).float() / 255 for frame in frames]
    page, _ = made(tmp_path, shot(*(picture(before, before * 0.9 + 0.1) for before in pixels)))
    assert len(page) < 330_000  # 300 kB for the shot, the rest is the page itself
    shapes = [image.shape for image in images(page)]
    assert shapes[0::2] == shapes[1::2], "before and after must be coded alike"
    assert min(max(shape) for shape in shapes) >= 427
