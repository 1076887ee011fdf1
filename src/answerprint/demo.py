"""The demo clip: a moving camera over freely usable pictures, two shots with a cut, 10-bit, with sound and timecode.

The pictures come with scikit-image (`pip install 'answerprint[demo]'`): Eileen Collins is NASA's photograph (public
domain), the cat Chelsea is Stefan van der Walt's (CC0), and the coffee whose color becomes the look is Rachel
Michetti's (CC0).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch

from answerprint import disk
from answerprint.errors import AnswerprintError
from answerprint.frame import ColorTags
from answerprint.media import reader
from answerprint.media.container import open_path
from answerprint.media.planes import from_rgb

WIDTH, HEIGHT, RATE, SHOT_FRAMES = 1280, 720, 24, 24
SOUND_RATE = 48_000
COLOR = ColorTags("bt709", "bt709", "bt709", "limited", "left")
REFERENCE = "coffee.png"


CHAIN = """\
# One look for both shots: the color of the reference still, a little of the saturation taken back.
name = "demo look"

[delivery]
preset = "prores-hq"

[[operation]]
name = "match"
reference = "reference.png"
method = "combined"
strength = 0.7

[[operation]]
name = "grade"
saturation = 0.92
"""


def run(folder: Path) -> None:
    """Makes the demo clip, runs the main job on it and says what to open."""
    from answerprint.color import cube_file
    from answerprint.render import decide, export, job, paths, summary
    from answerprint.render.progress import open_watcher
    from answerprint.render.source import open_clip

    clip, _ = make(folder)
    chain, graded = folder / "look.toml", folder / "graded.mov"
    disk.write(chain, CHAIN)
    with open_watcher(as_json=False) as watcher:
        list_file = paths.decisions_path(graded)
        source = open_clip(clip, {})
        before = decide.load_earlier(list_file, source)
        decisions = decide.analyze(source, decide.load_chain(chain), watcher=watcher, before=before)
        decide.save(decisions, list_file)
        result = job.render(decisions, job.JobSpec(output=graded, decisions=list_file), watcher)
        html, _ = summary.write(decisions, result)
        cube = folder / "graded.001.cube"
        cube_file.write(export.shot_cube(decisions, decisions.shots[0]), cube)
        _before_after(clip, graded, folder / "before_after.jpg")
    print(result.text())
    print("Open these:")
    for path, what in [
        (graded, "the answer print: ProRes 422 HQ, 10-bit, with sound and timecode"),
        (list_file, "what was decided, shot by shot; change a number and run"),
        (cube, "the color of the first shot as a LUT for other tools"),
        (html, "the report, in any browser"),
        (folder / "before_after.jpg", "both shots, before and after"),
    ]:
        print(f"  {path}  {what}")
    print(f"     answerprint render {list_file} -o {graded}")


def _before_after(before: Path, after: Path, picture: Path) -> None:
    """The middle frame of both shots, the source on the left and the answer print on the right, at half size."""
    rows = []
    for number in (SHOT_FRAMES // 2, SHOT_FRAMES + SHOT_FRAMES // 2):
        pair = [next(reader.open(path).frames(number, number + 1)).pixels for path in (before, after)]
        rows.append(torch.cat(pair, dim=2))
    grid = torch.nn.functional.avg_pool2d(torch.cat(rows, dim=1)[None], 2)[0].clamp(0, 1)
    codes = (grid * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    cv2.imwrite(str(picture), codes[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])


def make(folder: Path) -> tuple[Path, Path]:
    """Writes the demo's source clip and the reference still.

    Returns:
        The clip (ProRes 422 HQ, 2 seconds, 01:00:00:00) and the still whose color is to be matched.

    Raises:
        AnswerprintError: the pictures' package is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clip, still = folder / "source.mov", folder / "reference.png"
    still.write_bytes((_pictures() / REFERENCE).read_bytes())
    with open_path(clip, "w", options={"movflags": "write_colr"}) as container:
        _write(container)
    return clip, still


def _pictures() -> Path:
    try:
        import skimage
    except ImportError:
        raise AnswerprintError(
            "the demo's pictures come with scikit-image: pip install 'answerprint[demo]' (make demo does it)"
        ) from None
    return Path(skimage.__file__).parent / "data"


def _write(container: Any) -> None:
    video = container.add_stream("prores_ks", rate=RATE, options={"profile": "3", "vendor": "apl0"})
    video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv422p10le"
    video.time_base = Fraction(1, RATE)
    video.metadata["timecode"] = "01:00:00:00"
    sound = container.add_stream("pcm_s24le", rate=SOUND_RATE, layout="stereo")
    pictures = [("astronaut.png", (0.45, 0.30), (0.45, 0.42)), ("chelsea.png", (0.38, 0.5), (0.6, 0.45))]
    number = 0
    for name, begin, end in pictures:
        for pixels in _moving_camera(_pictures() / name, begin, end):
            for packet in video.encode(_video_frame(pixels, number)):
                container.mux(packet)
            number += 1
    for packet in [*video.encode(None), *sound.encode(_sound(number)), *sound.encode(None)]:
        container.mux(packet)


def _moving_camera(picture: Path, begin: tuple[float, float], end: tuple[float, float]) -> Iterator[np.ndarray]:
    """A slow pan and push-in, sampled with subpixel accuracy in float; (H, W, 3) R'G'B'."""
    source = cv2.cvtColor(cv2.imread(str(picture), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB).astype(np.float32) / 255
    height, width = source.shape[:2]
    fit = max(WIDTH / width, HEIGHT / height)
    for number in range(SHOT_FRAMES):
        along = number / (SHOT_FRAMES - 1)
        along = along * along * (3 - 2 * along)
        scale = fit * (1.12 + 0.16 * along)
        center = np.array([width, height]) * (np.array(begin) + (np.array(end) - np.array(begin)) * along)
        view = np.array([WIDTH, HEIGHT]) / 2
        center = np.clip(center, view / scale, np.array([width, height]) - view / scale)
        pan = np.column_stack([scale * np.eye(2), view - scale * center])
        yield cv2.warpAffine(source, pan, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def _video_frame(pixels: np.ndarray, number: int) -> Any:
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv422p10le")
    planes = from_rgb(torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), "yuv422p10", COLOR)
    for plane, codes in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size // 2), dtype=np.uint16)
        rows[:, : plane.width] = codes.numpy()
        plane.update(rows.tobytes())
    frame.pts, frame.time_base = number, Fraction(1, RATE)
    frame.colorspace, frame.color_range = av.video.reformatter.Colorspace.ITU709, av.video.reformatter.ColorRange.MPEG
    frame.color_primaries, frame.color_trc = 1, 1
    return frame


def _sound(frames: int) -> Any:
    """A quiet chord that swells with the picture, as long as it."""
    count = SOUND_RATE * frames // RATE
    time = np.arange(count) / SOUND_RATE
    swell = 0.12 * np.sin(np.pi * np.arange(count) / count) ** 2
    left, right = (sum(np.sin(2 * np.pi * tone * time) for tone in chord) for chord in [(220, 277.2), (220, 329.6)])
    samples = np.stack([left * swell, right * swell], axis=1)
    codes = np.round(samples * (2**31 - 1)).astype(np.int32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(codes, format="s32", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
    return frame
