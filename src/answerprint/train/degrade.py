"""Seeded degradations for training and tests: damage by time, cameras and coders, done on purpose.

Pictures are float32 (..., 3, H, W) in 0..1, display encoding. All random draws come from the NumPy generator
passed in, so the same state of it gives the same result. Noise is not clipped: a caller that wants code values clamps.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from answerprint import arrays
from answerprint.color import spaces
from answerprint.media.presets import repeatable
from answerprint.noise import synth

Pixels = NDArray[np.uint8]


def gaussian(picture: Tensor, sigma: float | Tensor, rng: np.random.Generator) -> Tensor:
    """White Gaussian noise of mean 0 and standard deviation `sigma` (in the unit of the pixels: 25/255)."""
    return picture + synth.normal(rng, picture.shape) * sigma


def poisson_gaussian(picture: Tensor, shot: float, read: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Sensor noise: variance = shot * value + read^2 (Foi et al. 2008), and its standard deviation at every pixel."""
    sigma = (picture.clamp(min=0) * shot + read * read).sqrt()
    return picture + synth.normal(rng, picture.shape) * sigma, sigma


def salt_and_pepper(picture: Tensor, density: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A share `density` of pixels becomes black or white in all channels; also says which, as bool (..., 1, H, W)."""
    shape = (*picture.shape[:-3], 1, *picture.shape[-2:])
    draw = torch.from_numpy(rng.random(shape, dtype=np.float32))
    hit = draw < density
    value = (draw < density / 2).to(picture.dtype)
    return torch.where(hit, value, picture), hit


def grain(
    picture: Tensor, strength: float, reach: float, saturation: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Film grain: correlated over `reach` pixels, strongest in the mid-tones, gray where `saturation` is 0.

    Also gives its standard deviation at every pixel.
    """
    luma = picture.mean(dim=-3, keepdim=True).clamp(0, 1)
    envelope = strength * (0.35 + 0.65 * 4 * luma * (1 - luma))
    gray = synth.correlated((*picture.shape[:-3], 1, *picture.shape[-2:]), reach, rng)
    own = synth.correlated(picture.shape, reach, rng)
    mixed = (gray * (1 - saturation) + own * saturation) / float(np.hypot(1 - saturation, saturation))
    return picture + envelope * mixed, envelope.expand_as(picture)


def jpeg(picture: Tensor, quality: int, chroma_half: bool = True) -> Tensor:
    """A round trip through a JPEG file of that quality (1..100)."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if chroma_half else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    out = []
    for one in picture.reshape(-1, *picture.shape[-3:]):
        _, data = cv2.imencode(".jpg", arrays.to_bgr(arrays.to_codes(one)), flags)
        out.append(arrays.from_codes(arrays.to_bgr(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8))))
    return torch.stack(out).reshape(picture.shape)


def gaussian_kernel(width: float, across: float | None = None, angle: float = 0.0, size: int = 21) -> Tensor:
    """A normalized Gaussian (size, size): `width` pixels along `angle` (radians), `across` at right angles to it."""
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    along = x * np.cos(angle) + y * np.sin(angle)
    beside = y * np.cos(angle) - x * np.sin(angle)
    kernel = torch.exp(-0.5 * ((along / width) ** 2 + (beside / (across or width)) ** 2))
    return (kernel / kernel.sum()).float()


def motion_kernel(length: float, angle: float, size: int = 21) -> Tensor:
    """A normalized straight camera move of `length` pixels along `angle` (radians), (size, size)."""
    kernel = torch.zeros(size, size)
    center = (size - 1) / 2
    for t in np.linspace(-0.5, 0.5, 8 * size):
        x, y = center + t * length * np.cos(angle), center + t * length * np.sin(angle)
        column, row = int(np.clip(np.floor(x), 0, size - 2)), int(np.clip(np.floor(y), 0, size - 2))
        right, down = x - column, y - row
        spread = torch.tensor([[(1 - down) * (1 - right), (1 - down) * right], [down * (1 - right), down * right]])
        kernel[row : row + 2, column : column + 2] += spread.float()
    return kernel / kernel.sum()


def random_kernel(rng: np.random.Generator, size: int = 21) -> Tensor:
    """A blur drawn at random: isotropic of width 0.2 to 4, anisotropic, or motion."""
    kind = rng.integers(3)
    if kind == 0:
        return gaussian_kernel(rng.uniform(0.2, 4), size=size)
    if kind == 1:
        return gaussian_kernel(rng.uniform(0.6, 4), rng.uniform(0.2, 2), rng.uniform(0, np.pi), size)
    return motion_kernel(rng.uniform(1, size - 6), rng.uniform(0, np.pi), size)


def blur(picture: Tensor, kernel: Tensor) -> Tensor:
    """The picture under an odd-sized kernel; its edge pixels are repeated outward."""
    pad = kernel.shape[-1] // 2
    flat = picture.reshape(-1, 1, *picture.shape[-2:])
    flat = F.conv2d(F.pad(flat, (pad, pad, pad, pad), mode="replicate"), kernel.flip(0, 1)[None, None])
    return flat.reshape(picture.shape)


def resize(picture: Tensor, height: int, width: int, method: str = "bicubic") -> Tensor:
    """The picture at another size, anti-aliased going down; `method` is "bicubic", "bilinear", "area" or "nearest"."""
    flat = picture.reshape(-1, *picture.shape[-3:])
    smooth = method in ("bicubic", "bilinear")
    options = {"antialias": True, "align_corners": False} if smooth else {}
    flat = F.interpolate(flat, size=(height, width), mode=method, **options)
    return flat.reshape(*picture.shape[:-2], height, width)


def coded(frames: Tensor, codec: str, quality: int, interlaced: bool = False) -> Tensor:
    """A real round trip of a sequence through a video coder, 8-bit 4:2:0.

    Args:
        frames: (T, 3, H, W); odd sizes are padded for the coder.
        codec: "h264" or "mpeg2".
        quality: H.264 constant rate factor (0..51), or MPEG-2 quantizer scale (1..31); higher is worse.
        interlaced: code the two fields apart (MPEG-2).
    """
    if codec not in ("h264", "mpeg2"):
        raise ValueError(f"codec is '{codec}'; allowed: h264, mpeg2")
    height, width = frames.shape[-2:]
    even = F.pad(frames, (0, width % 2, 0, height % 2), mode="replicate")
    codes = (even.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    data = _encode(codes, codec, quality, interlaced)
    with av.open(data) as container:
        back = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    result = torch.from_numpy(np.stack(back)).permute(0, 3, 1, 2).float() / 255
    return result[: len(frames), :, :height, :width].contiguous()


def _encode(codes: NDArray[np.uint8], codec: str, quality: int, interlaced: bool) -> io.BytesIO:
    data = io.BytesIO()
    with av.open(data, "w", format="matroska") as container:
        stream = container.add_stream("libx264" if codec == "h264" else "mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = codes.shape[2], codes.shape[1], "yuv420p"
        # One thread: the same bits on every machine.
        stream.codec_context.thread_count = 1
        if codec == "h264":
            stream.options = {"crf": str(quality), "preset": "veryfast"} | repeatable("libx264")
        else:
            # A rate it never reaches: the quantizer stays at its lower bound.
            fields = {"flags": "+ildct+ilme"} if interlaced else {}
            stream.options = {"qmin": str(quality), "qmax": str(quality), "b": "100000000", **fields}
        for code in codes:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(code, format="rgb24")))
        container.mux(stream.encode(None))
    data.seek(0)
    return data


def camera(picture: Tensor, length: int, height: int, width: int, speed: float, rng: np.random.Generator) -> Tensor:
    """A still (3, H, W) seen by a camera that pans, turns and zooms evenly: (length, 3, height, width).

    Args:
        picture: larger than the result, or its edges are mirrored.
        length: moments.
        height: of the result.
        width: of the result.
        speed: the farthest that a pixel moves from one moment to the next, in pixels; 0 gives exact repeats.
        rng: draws where the camera looks and how it moves.
    """
    image = arrays.to_image(picture)
    room = np.maximum(np.array(picture.shape[-2:]) - (height, width), 0)
    place = rng.uniform(0, 1, size=2) * room if speed else np.floor(rng.uniform(0, 1, size=2) * room)
    move = rng.uniform(-1, 1, size=2) * speed * 0.7
    # What turning and zooming add at the corners stays within the rest of the speed.
    turn, zoom = rng.uniform(-1, 1, size=2) * speed * 0.3 / np.hypot(height, width) * 2 * (rng.random(2) < 0.4)
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    frames = []
    for t in np.arange(length) - (length - 1) / 2:
        size, angle = 1 + zoom * t, turn * t
        y, x = place + move * t + middle
        along, across = size * np.cos(angle), size * np.sin(angle)
        matrix = np.array(
            [
                [along, -across, x - along * middle[1] + across * middle[0]],
                [across, along, y - across * middle[1] - along * middle[0]],
            ]
        )
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        frame = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        frames.append(torch.from_numpy(np.asarray(frame, dtype=np.float32)))
    return torch.stack(frames).permute(0, 3, 1, 2).clamp(0, 1)


def lettering(frames: Tensor, rng: np.random.Generator, speed: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """Words, figures and lines over (T, 3, H, W), some with an outline; they stand still, or move by `speed` (y, x)
    pixels from one moment to the next."""
    height, width = frames.shape[-2:]
    ink = torch.from_numpy(rng.choice([0.0, 0.1, 0.75, 0.92, 1.0], size=1).astype(np.float32).repeat(3))
    if rng.random() < 0.3:
        ink = torch.from_numpy(rng.random(3).astype(np.float32))
    marks = [_words(height, width, rng) for _ in range(int(rng.integers(1, 4)))]
    out = []
    for t, frame in enumerate(frames):
        canvas = np.zeros((height, width), np.uint8)
        outline = np.zeros_like(canvas)
        for draw in marks:
            draw(canvas, outline, speed[0] * t, speed[1] * t)
        letters, around = (torch.from_numpy(mask).float() / 255 for mask in (canvas, outline))
        dark = frame * (1 - around) + (1 - ink.view(3, 1, 1)) * around
        out.append(dark * (1 - letters) + ink.view(3, 1, 1) * letters)
    return torch.stack(out)


def _words(height: int, width: int, rng: np.random.Generator) -> Callable[[Pixels, Pixels, float, float], None]:
    """A function that draws one mark moved down and right, lines by 16ths of a pixel, words by whole ones."""
    place = (rng.uniform(-0.2, 0.8) * width, rng.uniform(0.1, 1.0) * height)
    thick = int(rng.integers(1, 4))
    if rng.random() < 0.3:
        end = (rng.uniform(0, 1) * width, rng.uniform(0, 1) * height)

        def line(canvas: Pixels, _outline: Pixels, down: float, right: float) -> None:
            ends = [(round(16 * (x + right)), round(16 * (y + down))) for x, y in (place, end)]
            cv2.line(canvas, ends[0], ends[1], 255, thick, cv2.LINE_AA, shift=4)

        return line
    letters = "ABCDEFGHKLMNOPRSTUVWXYZabcdeghiklmnoprstuvwyz0123456789.:-/%"
    text = "".join(rng.choice(list(letters), size=int(rng.integers(3, 14))))
    font, size = int(rng.integers(0, 8)), rng.uniform(0.4, 2.2)
    edge = int(rng.integers(1, 4)) * int(rng.random() < 0.5)

    def words(canvas: Pixels, outline: Pixels, down: float, right: float) -> None:
        at = (round(place[0] + right), round(place[1] + down))
        cv2.putText(canvas, text, at, font, size, 255, thick, cv2.LINE_AA)
        if edge:
            cv2.putText(outline, text, at, font, size, 255, thick + 2 * edge, cv2.LINE_AA)

    return words


def darken(picture: Tensor, gamma: float, rng: np.random.Generator, gain: float = 1.0, peak: float = 200.0) -> Tensor:
    """Little light: `gain * picture ** gamma` with photon noise of that peak (MBLLEN, Lv et al. 2018, section 4.1)."""
    dark = gain * picture.clamp(0, 1) ** gamma
    photons: Tensor = torch.from_numpy(rng.poisson((dark * peak).double().numpy()).astype(np.float32))
    return photons.div(peak)


def gray(picture: Tensor) -> Tensor:
    """Three equal channels: the luma of ITU-R BT.709."""
    return spaces.luma(picture).expand_as(picture).contiguous()


def scratches(frames: Tensor, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Vertical lines that stay some frames and tremble, dark or bright, on (T, 3, H, W); also where, (T, 1, H, W)."""
    length, _, _, width = frames.shape
    column = torch.arange(width, dtype=torch.float32)
    out, where = frames.clone(), torch.zeros_like(frames[:, :1])
    for _ in range(count):
        place, thick = rng.uniform(0, width), rng.uniform(0.4, 1.4)
        value, strength = float(rng.random() < 0.6), rng.uniform(0.4, 0.95)
        begin = int(rng.integers(length))
        for t in range(begin, min(begin + int(rng.integers(1, 12)), length)):
            place += rng.normal(0, 0.4)
            line = strength * torch.exp(-0.5 * ((column - place) / thick) ** 2)
            out[t] = out[t] * (1 - line) + value * line
            where[t] = torch.maximum(where[t], (line > 0.05).float().expand_as(where[t]))
    return out, where


def dust(frames: Tensor, count: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Specks that lie on one frame only, about `count` a frame, on (T, 3, H, W); also where, (T, 1, H, W)."""
    out, where = frames.clone(), torch.zeros_like(frames[:, :1])
    for t in range(len(frames)):
        for _ in range(rng.poisson(count)):
            speck = _blob(frames.shape[-2:], rng.uniform(0.6, 4.0), rng)
            value = float(rng.random() < 0.5)
            out[t] = out[t] * (1 - speck) + value * speck
            where[t] = torch.maximum(where[t], (speck > 0.02).float())
    return out, where


def moving_mask(length: int, height: int, width: int, rng: np.random.Generator) -> Tensor:
    """Something unwanted that walks through the picture: (length, 1, H, W) of 0 and 1; its first frame is not empty."""
    radii = rng.uniform(0.06, 0.25, size=2) * min(height, width)
    place = rng.uniform(0.2, 0.8, size=2) * (height, width)
    speed = rng.uniform(-0.02, 0.02, size=2) * (height, width)
    angle, turn = rng.uniform(0, np.pi), rng.uniform(-0.05, 0.05)
    masks = []
    for t in range(length):
        y, x = place + t * speed
        canvas = np.zeros((height, width), np.uint8)
        axes = (max(int(radii[0]), 1), max(int(radii[1]), 1))
        cv2.ellipse(canvas, (round(x), round(y)), axes, float(np.degrees(angle + t * turn)), 0, 360, 1, -1)
        masks.append(torch.from_numpy(canvas.astype(np.float32)))
    return torch.stack(masks)[:, None]


def _blob(size: torch.Size, radius: float, rng: np.random.Generator) -> Tensor:
    """A soft irregular speck (1, H, W) somewhere in the picture."""
    height, width = size
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float32), torch.arange(width, dtype=torch.float32), indexing="ij"
    )
    dy, dx = y - rng.uniform(0, height), x - rng.uniform(0, width)
    angle = torch.atan2(dy, dx)
    edge = radius * (
        1 + 0.3 * torch.sin(2 * angle + rng.uniform(0, 6)) + 0.2 * torch.sin(5 * angle + rng.uniform(0, 6))
    )
    return torch.sigmoid((edge - torch.hypot(dy, dx)) * 3)[None]
