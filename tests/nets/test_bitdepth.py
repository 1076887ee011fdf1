"""The network of bitdepth keeps its promise whatever its weights are, and gives pixels back where they belong."""

import torch

from answerprint.nets import bitdepth


def test_it_stays_inside_its_bounds() -> None:
    torch.manual_seed(1)
    net = bitdepth.Decoder(bitdepth.Config(width=8, blocks=2, radius=2))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=1.0)
    planes = bitdepth.fold(256 * torch.rand(2, 5, 16, 20), 256 * torch.rand(2, 10, 8, 10))
    step = torch.tensor([0.0, 8.0]).view(2, 1, 1, 1).expand(-1, 1, 8, 10)
    with torch.no_grad():
        out = bitdepth.unfold(net(planes, step, 30 * torch.rand(2, 5, 8, 10)))
    assert out.shape == (2, 3, 16, 20)
    assert float(out[0].abs().max()) <= 0.5 and 0.5 < float(out[1].abs().max()) <= 4.5


def test_what_is_folded_comes_back_at_its_pixels() -> None:
    luma = torch.arange(48.0).view(1, 1, 6, 8)
    chroma = torch.zeros(1, 2, 3, 4)
    folded = bitdepth.fold(luma, chroma)
    spread = bitdepth.unfold(255 * torch.cat((folded[:, :4], folded[:, :4], folded[:, :4]), dim=1))
    assert torch.allclose(spread, luma.expand(-1, 3, -1, -1))
