"""The denoiser as a network: neighbors are neutral until trained, streaming equals seeing all at once."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from answerprint.nets.denoise import Config, Denoiser, Streamed

SMALL = {"widths": (8, 12, 16), "blocks": (1, 1, 1)}
CPU = torch.device("cpu")


def network(temporal: bool = True, trained: bool = True) -> Denoiser:
    torch.manual_seed(1)
    made = Denoiser(Config(**SMALL, temporal=temporal))
    if trained:
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return made.eval()


def footage(frames: int = 7, height: int = 24, width: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    noisy = torch.rand(1, frames, 3, height, width, generator=generator)
    return noisy, torch.full_like(noisy, 0.1), torch.zeros(1, frames, 1, height, width)


def listed(
    sequence: tuple[Tensor, Tensor, Tensor], first: int = 0, last: int | None = None
) -> Iterator[tuple[Tensor, ...]]:
    return iter([tuple(plane[:, t] for plane in sequence) for t in range(sequence[0].shape[1])][first:last])


@torch.no_grad()
def test_neighbors_change_nothing_before_they_are_trained() -> None:
    still, temporal = network(temporal=False, trained=False), network(temporal=True, trained=False)
    temporal.load_state_dict(still.state_dict(), strict=False)
    sequence = footage()
    alone = torch.stack([still(*(plane[:, t] for plane in sequence)) for t in range(7)], dim=1)
    assert torch.allclose(temporal(*sequence), alone, atol=1e-6)


@torch.no_grad()
def test_trained_neighbors_within_the_radius_count_and_none_beyond() -> None:
    net = network()
    noisy, sigma, reach = footage(frames=13)
    changed = noisy.clone()
    changed[:, 12] += 0.5
    moved = (net(noisy, sigma, reach) - net(changed, sigma, reach)).abs().amax(dim=(0, 2, 3, 4))
    assert net.radius == 5
    assert bool((moved[12 - net.radius :] > 0).all()) and float(moved[: 12 - net.radius].max()) == 0


@pytest.mark.parametrize("temporal", [False, True])
@torch.no_grad()
def test_streaming_equals_seeing_all_at_once(temporal: bool) -> None:
    net, sequence = network(temporal), footage()
    whole = net(*sequence)
    streamed = list(Streamed(net, CPU, "fp32").frames(listed(sequence)))
    assert len(streamed) == 7
    for t, frame in enumerate(streamed):
        assert torch.allclose(frame, whole[:, t], atol=1e-5)


@torch.no_grad()
def test_chunks_with_handles_are_the_whole_bit_for_bit() -> None:
    net, sequence = network(), footage(frames=16)
    stream = Streamed(net, CPU, "fp32")
    whole = list(stream.frames(listed(sequence)))
    chunk = list(stream.frames(listed(sequence, first=1, last=14)))
    for t in range(1 + net.radius, 14 - net.radius):
        assert torch.equal(chunk[t - 1], whole[t])


@torch.no_grad()
def test_a_frame_leaves_as_soon_as_its_neighbors_are_known() -> None:
    asked = []

    def counted(frames: Iterator[tuple[Tensor, ...]]) -> Iterator[tuple[Tensor, ...]]:
        for frame in frames:
            asked.append(1)
            yield frame

    net = network()
    next(iter(Streamed(net, CPU, "fp32").frames(counted(listed(footage(frames=20))))))
    assert len(asked) == net.radius + 1


@torch.no_grad()
def test_twice_the_picture_and_twice_the_noise_is_twice_the_answer() -> None:
    net = network()
    noisy, sigma, reach = footage(frames=1)
    assert torch.allclose(net(2 * noisy, 2 * sigma, reach), 2 * net(noisy, sigma, reach), atol=1e-4)
