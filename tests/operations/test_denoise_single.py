"""Networks that clean one picture: the paper's three and other people's, any size, found by name or file."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from answerprint.errors import WeightsError
from answerprint.inference import weights
from answerprint.nets import cyclegan, densenet, gan, look
from answerprint.operations.denoise import single

CPU = torch.device("cpu")
SMALL = {
    "gan": (gan.Generator, gan.Config(width=8, depth=1)),
    "densenet": (densenet.DenseNet, densenet.Config(growth=4, layers=2, width=8)),
    "cyclegan": (cyclegan.CycleGenerator, cyclegan.Config(width=4, blocks=1)),
}


@pytest.fixture(params=list(SMALL))
def saved(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Path, torch.nn.Module]:
    monkeypatch.setenv("ANSWERPRINT_WEIGHTS", str(tmp_path))
    torch.manual_seed(0)
    build, config = SMALL[request.param]
    network = build(config).eval()
    weights.save(tmp_path / f"{request.param}.safetensors", network, config, weights.Card(name=request.param))
    return request.param, tmp_path / f"{request.param}.safetensors", network


def test_found_by_name_and_by_file(saved: tuple[str, Path, torch.nn.Module]) -> None:
    name, path, network = saved
    picture = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        expected = network(picture)
        for again in (single.load(name), single.read(path)):
            assert torch.allclose(again.eval()(picture), expected, atol=2e-2)


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (33, 50)])
def test_pictures_of_any_size_and_values_outside_are_kept(
    saved: tuple[str, Path, torch.nn.Module], size: tuple[int, int]
) -> None:
    clean = single.cleaner(single.load(saved[0]), CPU)
    picture = torch.rand(3, *size)
    made = clean(picture)
    assert made.shape == picture.shape and bool(torch.isfinite(made).all())
    bright = picture.clone()
    bright[:, 0, 0] = 1.5
    white = picture.clone()
    white[:, 0, 0] = 1.0
    assert torch.allclose(clean(bright)[:, 0, 0], clean(white)[:, 0, 0] + 0.5, atol=1e-6)


def test_frames_smaller_than_a_network_can_take_are_grown_for_it() -> None:
    """Window attention of other people's networks, for one, needs a side of 8 to 64 pixels."""

    class Picky(torch.nn.Module):
        multiple, least = 8, 60

        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            height, width = picture.shape[-2:]
            assert min(height, width) >= 64 and height % 8 == width % 8 == 0
            return picture * 0.5

    picture = torch.rand(3, 21, 70)
    assert torch.allclose(single.cleaner(Picky(), CPU)(picture), picture * 0.5, atol=1e-6)


def test_names_without_weights_say_how_to_train_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWERPRINT_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    with pytest.raises(WeightsError, match=r"no weights for 'gan'.*answerprint train gan .*models --add"):
        single.load("gan")


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    config = look.EncoderConfig(widths=(4, 4, 4, 4))
    weights.save(path, look.Encoder(config), config, weights.Card(name="encoder"))
    with pytest.raises(WeightsError, match="weights of 'encoder', which takes no noise away"):
        single.read(path)


def test_other_peoples_networks_are_read_by_spandrel(tmp_path: Path) -> None:
    try:
        from spandrel.architectures.DnCNN import DnCNN
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"spandrel does not import here: {error}")
    torch.manual_seed(0)
    network = DnCNN(in_nc=3, out_nc=3, nc=64, nb=17, mode="R")
    torch.save(network.state_dict(), tmp_path / "dncnn.pth")
    safetensors.torch.save_file(network.state_dict(), tmp_path / "dncnn.safetensors")
    for name in ("dncnn.pth", "dncnn.safetensors"):
        made = single.cleaner(single.read(tmp_path / name), CPU)(torch.rand(3, 21, 34))
        assert made.shape == (3, 21, 34)
