"""The flow network: what its parts answer where the answer is known, and how it takes sizes and hints."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from answerprint.inference import weights
from answerprint.nets import flow as nets
from answerprint.nets.flow import Config, FlowNet, Match

SMALL = Config(width=16, stem=8, motion=8, context=8, judge=8)


@pytest.fixture(scope="module")
def net() -> FlowNet:
    torch.manual_seed(1)
    return FlowNet(SMALL).eval()


def scattered(batch: int, height: int, width: int, channels: int = 32) -> Tensor:
    """Cells that are unlike each other."""
    return torch.randn(batch, height, width, channels, generator=torch.Generator().manual_seed(3)) * 3


def test_it_is_as_small_as_the_paper_needs() -> None:
    count = sum(tensor.numel() for tensor in FlowNet(Config()).parameters())
    assert 1.1e6 < count < 1.4e6


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-4, 1)])
def test_matching_finds_the_shift_of_cells(shift: tuple[int, int]) -> None:
    down, right = shift
    one = scattered(1, 12, 16)
    two = one.roll((down, right), (1, 2))
    match = nets._matched(nets._logs(nets._volume(one, two)), 12, 16)
    inner = match.flow[0, :, 5:-5, 5:-5]
    assert torch.allclose(inner[0], torch.full_like(inner[0], float(right)), atol=1e-3)
    assert torch.allclose(inner[1], torch.full_like(inner[1], float(down)), atol=1e-3)
    assert float(match.confidence[0, 0, 5:-5, 5:-5].min()) > 0.9


def test_what_is_in_neither_picture_has_no_confident_match() -> None:
    one, two = scattered(2, 12, 16).split(1)
    weak = nets._matched(nets._logs(nets._volume(one / 3, two / 3)), 12, 16)
    assert float(weak.confidence.mean()) < 0.3


def test_the_sums_of_scores_are_those_of_logsumexp_and_so_are_their_gradients() -> None:
    volume = (torch.randn(2, 24, 24, dtype=torch.float64) * 4).requires_grad_()
    own = nets._logs(volume)
    grads = torch.autograd.grad((own[1] * torch.arange(24)).sum() + own[2].square().sum(), volume)[0]
    rows, columns = volume.logsumexp(2), volume.logsumexp(1)
    expected = torch.autograd.grad((rows * torch.arange(24)).sum() + columns.square().sum(), volume)[0]
    assert torch.allclose(own[1], rows) and torch.allclose(own[2], columns)
    assert torch.allclose(grads, expected)


def test_a_lookup_is_the_volume_where_the_flow_points_and_between_cells_linear() -> None:
    volume = torch.rand(1, 30, 30)
    flow = torch.zeros(1, 2, 5, 6)
    flow[:, 0] = 1.0
    flow[:, 1] = 0.5
    looks = nets._lookup(volume, flow, 1)
    y, x = 2, 3
    scores = volume[0, y * 6 + x].view(5, 6)
    assert float(looks[0, 4, y, x]) == pytest.approx(float(scores[2, 4] + scores[3, 4]) / 2)
    assert float(looks[0, 1, y, x]) == pytest.approx(float(scores[1, 4] + scores[2, 4]) / 2)
    assert float(nets._lookup(volume, flow + 100, 1).abs().max()) == 0.0


def test_upsampling_keeps_constants_and_takes_the_cell_it_is_told() -> None:
    planes = torch.rand(1, 3, 4, 5)
    logits = torch.full((1, 9, 64, 4, 5), -30.0)
    logits[:, 4] = 30.0  # the cell itself
    fine = nets._upsampled(planes, logits.flatten(1, 2))
    assert torch.allclose(fine, planes.repeat_interleave(8, 2).repeat_interleave(8, 3), atol=1e-5)
    logits = torch.randn(1, 576, 4, 5)
    assert torch.allclose(nets._upsampled(torch.full_like(planes, 2.5), logits), torch.tensor(2.5))


def test_pixels_of_a_cell_are_in_the_order_of_the_picture() -> None:
    planes = torch.arange(12.0).view(1, 1, 3, 4)
    logits = torch.full((1, 9, 64, 3, 4), -30.0)
    logits[:, 4] = 30.0
    logits[:, 4, 7], logits[:, 5, 7] = -30.0, 30.0  # last pixel of the first row: the cell to the right
    fine = nets._upsampled(planes, logits.flatten(1, 2))
    assert float(fine[0, 0, 0, 7]) == pytest.approx(1.0) and float(fine[0, 0, 1, 7]) == pytest.approx(0.0)


def test_unsure_cells_are_filled_from_sure_ones_around() -> None:
    flow = torch.zeros(1, 2, 9, 9)
    confidence = torch.zeros(1, 1, 9, 9)
    flow[:, :, 0, 0], confidence[:, :, 0, 0] = 5.0, 1.0
    flow[:, :, 4, 4] = -99.0  # believed by nobody
    assert torch.allclose(nets._filled(Match(flow, confidence)), torch.tensor(5.0), atol=1e-2)


def test_the_density_of_errors_sums_to_one() -> None:
    axis = torch.arange(-60, 60.0) * 0.5
    error = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None].abs()
    info = torch.tensor([0.3, -0.4, 0.0, 1.2]).view(1, 4, 1, 1).expand(1, 4, 120, 120)
    assert float(nets.log_density(error, info).exp().sum() * 0.25) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (128, 160)])
def test_sizes(net: FlowNet, size: tuple[int, int]) -> None:
    first, second = torch.rand(2, 1, 3, *size)
    with torch.no_grad():
        for coarse in (False, True):
            estimate = net(first, second, updates=2, coarse=coarse)
            assert estimate.flow.shape == (1, 2, *size) and estimate.info.shape == (1, 4, *size)
            assert bool(estimate.flow.isfinite().all())


def test_it_does_not_know_exposure(net: FlowNet) -> None:
    first, second = torch.rand(2, 1, 3, 64, 96) * 0.5 + 0.2
    with torch.no_grad():
        plain, lit = (net(first * k + c, second * k + c, updates=2).flow for k, c in ((1.0, 0.0), (1.3, 0.05)))
    assert float((plain - lit).abs().mean()) < 0.05 * float(plain.abs().mean()) + 0.5


def test_pairs_of_a_batch_have_no_say_in_each_other(net: FlowNet) -> None:
    first, second = torch.rand(2, 2, 3, 64, 64)
    with torch.no_grad():
        joint = net(first, second, updates=2).flow[1:]
        alone = net(first[1:], second[1:], updates=2).flow
    assert torch.allclose(joint, alone, atol=1e-2)


def test_a_hint_of_no_number_is_none(net: FlowNet) -> None:
    first, second = torch.rand(2, 1, 3, 64, 64)
    with torch.no_grad():
        without = net(first, second, updates=2).flow
        nothing = net(first, second, torch.full((1, 2, 8, 8), math.nan), updates=2).flow
        hinted = net(first, second, torch.full((1, 2, 8, 8), 4.0), updates=2).flow
    assert torch.equal(without, nothing) and not torch.equal(without, hinted)


def test_an_untrained_judge_says_what_it_was_told(net: FlowNet) -> None:
    prior = torch.randn(1, 3, 8, 8)
    assert torch.equal(net.judge(torch.randn(1, nets.EVIDENCE, 8, 8), prior), prior)


def test_gradients_reach_all_that_flow_needs() -> None:
    torch.manual_seed(2)
    net = FlowNet(SMALL)
    estimate = net(*torch.rand(2, 1, 3, 64, 64), torch.ones(1, 2, 8, 8), updates=2)
    sums = sum(part[1].mean() for part in estimate.logs)
    (sums - nets.log_density(estimate.flow.abs(), estimate.info).mean()).backward()
    without = {name for name, tensor in net.named_parameters() if tensor.grad is None}
    assert all(name.startswith("judge.") for name in without)


def test_weights_carry_their_dimensions(tmp_path: Path, net: FlowNet) -> None:
    weights.save(tmp_path / "flow.safetensors", net, net.config, weights.Card(name="flow"), torch.float32)
    again = nets.load(tmp_path / "flow.safetensors")
    assert again.config == net.config
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
