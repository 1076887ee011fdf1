"""NCST's network: neutral where it begins, bounded everywhere, tuned by its losses; the loader of VGG-19."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from answerprint.color import values
from answerprint.errors import WeightsError
from answerprint.nets import look


def _picture(seed: int, size: int = 48) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.interpolate(torch.rand(1, 3, 6, 6, generator=generator), size=size, mode="bilinear")[0]


def test_an_untrained_network_gives_the_neutral_grade() -> None:
    network = look.LookNet(look.Config())
    seven, extended = network(_picture(0)[None], _picture(1, 60)[None])
    assert seven.shape == (1, 7) and extended.shape == (1, 31)
    picture = _picture(0)[None]
    for free in (seven, extended):
        assert torch.allclose(look.stylized(picture, free), picture, atol=1e-6)


@pytest.mark.parametrize("size", [-40.0, 40.0])
def test_no_parameter_leaves_its_bounds(size: float) -> None:
    for count in (7, 31):
        graded = look.stylized(_picture(2)[None], torch.full((1, count), size))
        assert bool(torch.isfinite(graded).all())


def test_the_encoder_has_vgg_s_scales_for_any_size() -> None:
    encoder = look.Encoder(look.EncoderConfig())
    shapes = [tuple(layer.shape[1:]) for layer in encoder(torch.rand(1, 3, 50, 70))]
    assert shapes == [(16, 50, 70), (32, 25, 35), (64, 13, 18), (128, 7, 9)]
    assert len(encoder(torch.rand(1, 3, 1, 1))) == 4


def test_adain_has_the_moments_of_the_reference() -> None:
    content, reference = torch.randn(1, 4, 30, 30) * 3 + 1, torch.randn(1, 4, 20, 20) * 0.5 - 2
    mixed = look.adain(content, reference)
    assert torch.allclose(mixed.mean((2, 3)), reference.mean((2, 3)), atol=1e-3)
    assert torch.allclose(mixed.std((2, 3)), reference.std((2, 3)), rtol=1e-2)


def test_tuning_on_one_shot_makes_the_losses_smaller() -> None:
    torch.manual_seed(0)
    network = look.LookNet(look.Config(encoder=look.EncoderConfig(widths=(8, 8, 8, 8)), width=8, hidden=16))
    content, reference = _picture(3), (_picture(4) * torch.tensor([1.0, 0.6, 0.3]).view(3, 1, 1)).clamp(0, 1)
    before = look.judge(network.encoder, content[None], content[None], reference[None]).total
    taken = look.tune(network, [content], reference, extended=False, schedule=look.Schedule(60, 1e-2))
    free = look.predict(network, [content], reference, extended=False)
    graded = look.stylized(content[None], free[None])
    after = look.judge(network.encoder, graded, content[None], reference[None]).total
    assert taken == 60
    assert float(after.detach()) < 0.9 * float(before.detach())
    assert values.to_values(values.bound(free[:-1], values.SEVEN)) != values.Values()


def test_what_ships_loads() -> None:
    encoder = look.shipped_encoder()
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    gray, red = torch.full((1, 3, 32, 32), 0.5), torch.tensor([0.9, 0.2, 0.2]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    assert float((encoder(gray)[3] - encoder(red)[3]).abs().max()) > 1e-3, "features must tell color"


def _torchvision_state() -> dict[str, torch.Tensor]:
    encoder = look.Encoder(look.VGG19)
    generator = torch.Generator().manual_seed(0)
    return {
        f"features.{layer}.{kind}": torch.randn(getattr(module, kind).shape, generator=generator) * 0.02
        for layer, module in zip(look._VGG19_LAYERS, encoder.layers, strict=True)
        for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_vgg19_is_read_from_a_file_or_url_and_checked(tmp_path: Path, ending: str) -> None:
    import hashlib

    path = tmp_path / f"vgg19{ending}"
    state = _torchvision_state()
    torch.save(state, path) if ending == ".pth" else safetensors.torch.save_file(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    encoder = look.vgg19(path, digest[:8])
    assert torch.equal(encoder.layers[8].weight, state["features.19.weight"])
    assert [layer.shape[1] for layer in encoder(torch.rand(1, 3, 32, 32))] == [64, 128, 256, 512]
    fetched = look.vgg19(path.as_uri(), digest, folder=tmp_path / "kept")
    assert torch.equal(fetched.layers[0].weight, encoder.layers[0].weight)
    with pytest.raises(WeightsError, match="SHA-256"):
        look.vgg19(path, "00000000")


def test_other_files_are_no_vgg19(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="not torchvision's VGG-19"):
        look.vgg19(path, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(WeightsError, match="too short"):
        look.vgg19(path, "ab")
    with pytest.raises(WeightsError, match="no such"):
        look.vgg19(tmp_path / "none.pth", "dcbb9e9d")
