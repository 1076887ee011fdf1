"""Trains the network of `bitdepth`: sequences coded as consumer cameras code them, and the masters they came from.

A crop of twice the size is halved by area, which gives a master of more than 8 bits and of full chroma; it is rounded
to 8 bits, 4:2:0, and goes through H.264 at a rate drawn at random. L1 to the master in codes of Y', Cb, Cr. With
`--septuplets`, as many samples come from a set that `answerprint dataset septuplets` made.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from answerprint.frame import ColorTags
from answerprint.media import coding, pixels
from answerprint.metrics import quality
from answerprint.nets.bitdepth import Config, Decoder
from answerprint.train import septuplets
from answerprint.train.data import Library
from answerprint.train.loop import Batch, Networks, Training, Update, Validation

TAGS = ColorTags("bt709", "bt709", "bt709", "limited", "left")


class Params(Training):
    """All that this run can be told."""

    steps: int = Field(20_000, ge=1, description="Length of the schedule in steps.")
    rate: float = Field(1e-3, gt=0, le=1, description="Highest learning rate.")
    batch: int = Field(8, ge=1, description="Crops a step.")
    crop: int = Field(96, ge=32, multiple_of=16, description="Side of a crop in pixels, after halving.")
    factors: tuple[float, float] = Field((16.0, 40.0), description="Range of the coder's constant rate factor.")
    septuplets: Path | None = Field(None, description="A set of septuplets that half of the samples come from.")
    width: int = Field(32, ge=1, description="Channels.")
    blocks: int = Field(6, ge=1, description="Residual blocks.")
    radius: int = Field(1, ge=0, le=3, description="Neighbor frames that are seen on each side.")
    looked_at: int = Field(16, ge=1, description="Crops of a validation.")


SHIPS = "decoder"


def networks(params: Params) -> Networks:
    return {"decoder": Decoder(Config(width=params.width, blocks=params.blocks, radius=params.radius))}


def batch(params: Params, rng: np.random.Generator, data: Library) -> Batch:
    samples = [_sample(params, rng, data) for _ in range(params.batch)]
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


def step(nets: Networks, batch: Batch, update: Update) -> None:
    made = nets["decoder"](batch["luma"], batch["chroma"], batch["step"])
    update("decoder", F.l1_loss(made, batch["lost"]))


def validate(nets: Networks, params: Params, data: Library) -> Validation:
    """PSNR in dB of Y'CbCr, and what the network brings over the decoder alone, on clips not trained on."""
    rng = np.random.default_rng(0)
    device = next(nets["decoder"].parameters()).device
    plain, made = [], []
    for _ in range(params.looked_at):
        sample = _sample(params.model_copy(update={"septuplets": None}), rng, data)
        planes = [sample[name][None].to(device) for name in ("luma", "chroma", "step")]
        lost = sample["lost"] / 255
        plain.append(quality.psnr(lost, torch.zeros_like(lost)))
        made.append(quality.psnr(nets["decoder"](*planes)[0].cpu() / 255, lost))
    figures = {"psnr": float(np.mean(made)), "gain": float(np.mean(made) - np.mean(plain))}
    return Validation(figures["gain"], figures)


def _sample(params: Params, rng: np.random.Generator, data: Library) -> dict[str, Tensor]:
    if params.septuplets is not None and rng.random() < 0.5:
        return _from_set(params, rng)
    frames = 2 * params.radius + 1
    # A neighbor more on each side: the coder then has something to predict from and to.
    codes = data.crop(rng, 2 * params.crop, frames + 2)
    master = F.avg_pool2d(torch.from_numpy(codes).permute(0, 3, 1, 2).float() / 255, 2)
    stored = [pixels.from_rgb(picture, "yuv420p", TAGS) for picture in master]
    coded, quantizer = through_coder(stored, rng.uniform(*params.factors))
    place = len(coded) // 2
    return told(coded[place - params.radius : place + params.radius + 1], master[place], quantizer)


def _from_set(params: Params, rng: np.random.Generator) -> dict[str, Tensor]:
    paths = septuplets.samples(params.septuplets or Path(), "training")
    found = septuplets.read(paths[int(rng.integers(len(paths)))])
    height, width = found.target.shape[1:]
    top, left = (int(rng.integers((size - params.crop) // 16 + 1)) * 16 for size in (height, width))
    rows, columns = slice(top, top + params.crop), slice(left, left + params.crop)
    half = (slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2))
    coded = []
    for place in range(3 - params.radius, 3 + params.radius + 1):
        y, cb, cr = (plane[place] for plane in found.planes)
        coded.append(tuple(torch.from_numpy(part.copy()) for part in (y[rows, columns], cb[half], cr[half])))
    return told(coded, found.master()[:, rows, columns], 0.0)


def told(coded: list[tuple[Tensor, ...]], master: Tensor, quantizer: float) -> dict[str, Tensor]:
    """What the network is shown of coded planes, and what it is to find, in codes."""
    luma = torch.stack([planes[0] for planes in coded]).float() / 255
    chroma = torch.cat([torch.stack(planes[1:]) for planes in coded]).float() / 255
    middle = coded[len(coded) // 2]
    truth = _planes_of(master)
    shown = _planes_of(pixels.to_rgb(middle, "yuv420p", TAGS))
    return {"luma": luma, "chroma": chroma, "step": torch.full((1, 1, 1), quantizer), "lost": truth - shown}


def _planes_of(picture: Tensor) -> Tensor:
    """Y', Cb, Cr at every pixel in codes of 8 bits, limited range, of BT.709, (3, H, W)."""
    red, green, blue = picture
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return torch.stack([16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748])


def through_coder(stored: list[tuple[Tensor, ...]], factor: float) -> tuple[list[tuple[Tensor, ...]], float]:
    """Planes of 8 bits, 4:2:0, through H.264 and back, and the mean step of its quantizer."""
    packed = io.BytesIO()
    height, width = stored[0][0].shape
    with av.open(packed, "w", format="matroska") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": f"{factor:.2f}", "preset": "fast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for number, planes in enumerate(stored):
            whole = np.concatenate([plane.numpy().ravel() for plane in planes]).reshape(-1, width)
            frame = av.VideoFrame.from_ndarray(whole, format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    packed.seek(0)
    back, steps = [], []
    with av.open(packed) as container:
        video = container.streams.video[0]
        video.codec_context.options = {"export_side_data": "venc_params"}
        for frame in container.decode(video):
            back.append(_unpacked(frame.to_ndarray(format="yuv420p"), height, width))
            steps += coding.steps(frame)
    return back, float(np.mean(steps)) if steps else 0.0


def _unpacked(whole: NDArray[Any], height: int, width: int) -> tuple[Tensor, ...]:
    flat = torch.from_numpy(whole.reshape(-1).copy())
    luma, chroma = height * width, height * width // 4
    half = (height // 2, width // 2)
    return flat[:luma].view(height, width), flat[luma : luma + chroma].view(half), flat[luma + chroma :].view(half)
