"""TOFlow: flow finds its way, warping looks where it says, what is not trained changes little."""

import torch

from answerprint.nets import toflow


def test_warping_by_a_known_flow() -> None:
    picture = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(1))
    moved = picture.roll((2, -3), dims=(2, 3))
    flow = torch.tensor([-3.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, 20, 24)
    assert torch.allclose(toflow.warp(moved, flow)[..., 4:-4, 4:-4], picture[..., 4:-4, 4:-4], atol=1e-5)


def test_any_size_of_its_multiple_and_any_length() -> None:
    torch.manual_seed(1)
    net = toflow.TOFlow(toflow.Config(frames=5, levels=3, flow_widths=(4, 4), width=8)).eval()
    frames = torch.rand(2, 15, 24, 36)
    with torch.no_grad():
        out = net(frames)
    assert out.shape == (2, 3, 24, 36) and net.multiple == 4


def test_before_it_learned_it_leaves_every_frame_nearly_as_it_is() -> None:
    torch.manual_seed(1)
    net = toflow.TOFlow(toflow.Config(frames=5, levels=3, flow_widths=(16, 8), width=32)).eval()
    frames = torch.rand(2, 15, 24, 36)
    with torch.no_grad():
        whole, out = net(frames, whole=True), net(frames)
    assert float((out - frames[:, 6:9]).square().mean()) < (2 / 255) ** 2
    assert torch.equal(whole[:, 6:9], out) and whole.shape == frames.shape
    assert float((whole - frames).square().mean()) < (8 / 255) ** 2
    assert not torch.equal(out, frames[:, 6:9]), "nothing at all would give the layers in front no gradient"


def test_the_flow_learns_a_shift() -> None:
    torch.manual_seed(1)
    net = toflow.TOFlow(toflow.Config(frames=3, levels=2, flow_widths=(8, 8), width=4))
    generator = torch.Generator().manual_seed(2)
    soft = torch.nn.functional.interpolate(torch.rand(4, 3, 8, 8, generator=generator), (32, 32), mode="bicubic")
    moved = soft.roll(1, dims=3)
    optimizer = torch.optim.Adam(net.levels.parameters(), 3e-3)
    for _ in range(40):
        loss = (toflow.warp(moved, net.flow(soft, moved)) - soft)[..., 3:-3].abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5 * float((moved - soft)[..., 3:-3].abs().mean())
