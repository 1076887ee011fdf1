"""The deinterlacer as a network: small, turned over it is the same, what stands still is woven back."""

import torch

from answerprint.nets import deinterlace as nets
from answerprint.nets.deinterlace import Config, Deinterlacer

SMALL = {"widths": (8, 8, 8)}


def network(**dimensions):
    torch.manual_seed(1)
    return Deinterlacer(Config(**dimensions)).eval()


def pictures(count=5, height=64, width=64):
    generator = torch.Generator().manual_seed(2)
    return [torch.rand(1, 3, height, width, generator=generator) for _ in range(count)]


def test_it_is_small():
    assert sum(parameter.numel() for parameter in network().parameters()) <= 150_000


def test_fields_are_the_lines_of_their_moments():
    moments = [torch.full((3, 6, 4), float(t)) + torch.arange(6.0)[:, None] / 10 for t in range(5)]
    field, before, after, earlier, later = nets.fields(moments)
    expected = {2.0: field, 1.1: before, 3.1: after, 0.0: earlier, 4.0: later}
    for first, part in expected.items():
        assert torch.allclose(part[0, :, 0], first + torch.tensor([0.0, 0.2, 0.4]))


@torch.no_grad()
def test_it_answers_in_the_fields_own_size():
    assert network(**SMALL)(*nets.fields(pictures())).shape == (1, 3, 32, 64)


@torch.no_grad()
def test_folding_keeps_every_pixel_at_its_place():
    lines = torch.rand(2, 1, 6, 16)
    assert torch.equal(nets._unfold(nets._fold(lines)), lines)


@torch.no_grad()
def test_where_it_chooses_time_and_adds_nothing_the_lines_beside_come_back():
    made = network(**SMALL)
    made.head.weight.zero_()
    made.head.bias.zero_()
    made.head.bias[: nets.FOLD] = 40.0
    still = pictures(1) * 5
    assert torch.allclose(made(*nets.fields(still)), still[0][..., 1::2, :], atol=1e-6)
