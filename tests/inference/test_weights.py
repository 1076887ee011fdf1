"""Weights on disk: what was saved comes back, what cannot be trusted is refused with the reason."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from answerprint.errors import WeightsError
from answerprint.inference import weights
from answerprint.nets.denoise import Config, Denoiser

SMALL = Config(widths=(8, 12, 16), blocks=(1, 1, 1))
CARD = weights.Card(name="denoise", summary="Takes noise away.", licence="Apache-2.0", figures={"psnr 25": 31.5})


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Denoiser]:
    torch.manual_seed(0)
    path = tmp_path / "denoise.safetensors"
    network = Denoiser(SMALL)
    weights.save(path, network, SMALL, CARD)
    return path, network


def test_weights_carry_their_own_dimensions_and_card(saved: tuple[Path, Denoiser]) -> None:
    path, network = saved
    kept = weights.load("denoise", path)
    assert Config.of(kept.config) == SMALL and kept.card == CARD
    again = Denoiser(Config.of(kept.config))
    weights.fill(again, kept)
    for name, tensor in network.state_dict().items():
        assert torch.allclose(again.state_dict()[name], tensor, rtol=1e-3, atol=1e-6)


def test_an_installation_is_read_by_everyone(saved: tuple[Path, Denoiser]) -> None:
    assert saved[0].stat().st_mode & 0o444 == 0o444


def test_another_network_is_refused(saved: tuple[Path, Denoiser]) -> None:
    with pytest.raises(WeightsError, match="weights of 'denoise', not of 'deinterlace'"):
        weights.load("deinterlace", saved[0])


def test_a_checkpoint_is_refused_as_weights(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    weights.write(path, {"net/a": torch.zeros(2)}, {"recipe": "denoise", "step": 3})
    with pytest.raises(WeightsError, match="a checkpoint of a training run"):
        weights.load("denoise", path)


def test_one_changed_bit_is_noticed(saved: tuple[Path, Denoiser]) -> None:
    path, _ = saved
    data = bytearray(path.read_bytes())
    data[-100] ^= 4
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="SHA-256 does not fit"):
        weights.load("denoise", path)


def test_a_changed_card_is_noticed(saved: tuple[Path, Denoiser]) -> None:
    path, _ = saved
    path.write_bytes(path.read_bytes().replace(b"Takes noise away", b"Takes noise awry"))
    with pytest.raises(WeightsError, match="SHA-256 does not fit"):
        weights.load("denoise", path)


def test_a_pickle_is_refused_unopened(tmp_path: Path) -> None:
    for name, options in (("new.pth", {}), ("old.pth", {"_use_new_zipfile_serialization": False})):
        torch.save({"a": torch.zeros(3)}, tmp_path / name, **options)
        with pytest.raises(WeightsError, match=rf"{name}: a pickle"):
            weights.read(tmp_path / name)


def test_a_file_whose_length_looks_like_a_pickle_is_none(tmp_path: Path) -> None:
    for length in range(60):
        path = tmp_path / "any.safetensors"
        weights.write(path, {"a": torch.zeros(2)}, {"padding": "x" * 8 * length})
        assert weights.read(path)[1]["padding"] == "x" * 8 * length


def test_truncated_foreign_and_absent_files_are_refused(saved: tuple[Path, Denoiser], tmp_path: Path) -> None:
    path, _ = saved
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(WeightsError, match="truncated"):
        weights.read(path)
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(3)}, other)
    with pytest.raises(WeightsError, match="did not write"):
        weights.read(other)
    with pytest.raises(WeightsError, match="no such weights file"):
        weights.read(tmp_path / "absent.safetensors")


def test_weights_that_do_not_fit_their_config_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "denoise.safetensors"
    weights.save(path, Denoiser(SMALL), Config(widths=(8, 12, 20), blocks=(1, 1, 1)), CARD)
    kept = weights.load("denoise", path)
    with pytest.raises(WeightsError, match="do not fit their own Config"):
        weights.fill(Denoiser(Config.of(kept.config)), kept)


def test_a_network_is_built_and_filled_and_another_versions_config_is_refused(
    saved: tuple[Path, Denoiser], tmp_path: Path
) -> None:
    path, network = saved
    again = weights.network("denoise", Config, Denoiser, path)
    assert again.config == SMALL and torch.allclose(again.stem.weight, network.stem.weight, atol=1e-3)
    tensors, facts = weights.read(path)
    newer = tmp_path / "newer.safetensors"
    weights.write(newer, tensors, facts | {"config": facts["config"] | {"attention": 4}})
    with pytest.raises(WeightsError, match=r"another version of Answerprint.*attention"):
        weights.network("denoise", Config, Denoiser, newer)


def test_a_users_weights_are_listed_beside_those_that_ship_and_come_first(
    saved: tuple[Path, Denoiser], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = saved
    monkeypatch.setenv("ANSWERPRINT_WEIGHTS", str(path.parent))
    entry = next(each for each in weights.listing()[0] if each.path == path)
    assert not entry.ships and entry.card.figures == {"psnr 25": 31.5} and entry.bytes == path.stat().st_size
    assert weights.load("denoise").card == CARD


def test_a_damaged_file_is_left_out_of_the_list_with_the_reason(
    saved: tuple[Path, Denoiser], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = saved
    damaged = path.with_name("damaged.safetensors")
    damaged.write_bytes(path.read_bytes()[:100])
    monkeypatch.setenv("ANSWERPRINT_WEIGHTS", str(path.parent))
    entries, refused = weights.listing()
    assert path in [entry.path for entry in entries]
    assert len(refused) == 1 and "damaged.safetensors: truncated" in str(refused[0])


def test_what_ships_can_be_trusted_and_says_its_licence() -> None:
    shipped = [entry for entry in weights.listing()[0] if entry.ships]
    if not shipped:
        pytest.skip("no weights ship yet")
    for entry in shipped:
        kept = weights.load(entry.card.name, entry.path)
        assert kept.card.licence != "unknown" and kept.card.data and kept.card.trained
        assert all(bool(torch.isfinite(tensor).all()) for tensor in kept.tensors.values())


def test_no_weights_at_all_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWERPRINT_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match=r"no weights for 'unheard'.*answerprint train"):
        weights.load("unheard")


def test_a_foreign_model_without_spandrel_says_what_to_install(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(json.dumps({}).encode())
    with pytest.raises(WeightsError, match="spandrel"):
        weights.foreign(path)
