"""Trained weights on disk: safetensors that carry their own dimensions, card and SHA-256.

Nothing else in the house opens such a file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from pydantic import Field
from torch import Tensor, nn

from answerprint import disk
from answerprint.errors import SettingsError, WeightsError
from answerprint.settings import Settings

C = TypeVar("C", bound=Settings)
N = TypeVar("N", bound=nn.Module)
T = TypeVar("T")

SHIPPED = Path(__file__).parents[1] / "weights"
ADD_HELP = "make weights of the run: answerprint models --add RUN"


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes tensors with JSON facts and a SHA-256 over both; the file is whole or not there.

    Args:
        path: file to write; an older one is replaced in one move.
        tensors: by name; stored in their own type.
        facts: anything JSON can hold.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(dict(facts), sort_keys=True)
    metadata = {"answerprint": text, "sha256": _digest(stored, text)}
    part = path.with_name(path.name + ".part")
    safetensors.torch.save_file(stored, str(part), metadata=metadata)
    part.chmod(0o644)  # written for the owner alone, where an installation is read by everyone
    disk.publish(part, path)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a file made by `write`.

    Raises:
        WeightsError: not there, a pickle, truncated, changed since it was written, or made by something else.
    """
    facts = _facts(path)
    with safetensors.safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    if _digest(tensors, facts["answerprint"]) != facts["sha256"]:
        raise WeightsError(
            f"{path}: the file was changed after it was written (its SHA-256 does not fit); get it again"
        )
    content: dict[str, Any] = json.loads(facts["answerprint"])
    return tensors, content


def _facts(path: Path) -> dict[str, str]:
    """The header of the file, refused with the reason where it is none of ours."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    with path.open("rb") as file:
        start = file.read(16)
    # Bytes 0 to 7 of a safetensors file are a length, which may look like anything; its byte 8 opens the JSON header.
    if start[8:9] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
        raise WeightsError(f"{path}: a pickle, which can run any code when opened; only safetensors files are read")
    try:
        with safetensors.safe_open(str(path), framework="pt") as opened:
            facts: dict[str, str] = opened.metadata() or {}
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path}: truncated, or no safetensors file ({error})") from None
    if "answerprint" not in facts or "sha256" not in facts:
        raise WeightsError(f"{path}: a safetensors file that Answerprint did not write (no Config and SHA-256 inside)")
    return facts


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 over names, types, shapes, bytes and facts."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class Card(Settings):
    """Facts for a person who uses a network: training, data, licence, figures."""

    name: str = Field(description="Name of the network, and of the operation it serves.")
    summary: str = Field("", description="What it does, in a sentence.")
    version: str = Field("1", description="Of the weights.")
    trained: str = Field("", description="Recipe and number of steps.")
    data: str = Field("", description="What it was trained on.")
    licence: str = Field("unknown", description="Licence of the weights.")
    commercial_ok: bool = Field(False, description="Whether all training data allows commercial use.")
    seen: tuple[str, ...] = Field((), description="Keys of the clips and pictures it was trained on or chosen by.")
    figures: dict[str, float] = Field(default_factory=dict, description="Measured quality, by name.")
    source: str = Field("", description="Paper or project it comes from.")


@dataclass(frozen=True)
class TrainedWeights:
    """A network's trained weights as read from disk.

    Attributes:
        config: dimensions, as the network's Config takes them.
        tensors: float32, by name in the network.
        card: what a person should know.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    card: Card


@dataclass(frozen=True)
class Entry:
    """One line of `answerprint models`."""

    path: Path
    card: Card
    ships: bool
    bytes: int


def save(path: Path, network: nn.Module, config: Settings, card: Card, kept_as: torch.dtype = torch.float16) -> None:
    """Writes a network with its Config and card; floating-point tensors are kept as `kept_as`."""
    tensors = {
        name: tensor.to(kept_as) if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    write(path, tensors, {"network": card.name, "config": config.model_dump(mode="json"), "card": card.model_dump()})


def finished(facts: Mapping[str, Any]) -> bool:
    """Whether a file's facts (`read`) are those of finished weights, not of a training run's checkpoint."""
    return "config" in facts and "network" in facts


def load(name: str, path: Path | None = None) -> TrainedWeights:
    """The weights of a network: from `path`, else a user's own, else those that ship.

    Raises:
        WeightsError: there are none, they cannot be trusted (see `read`), or they are another network's.
    """
    path = path or _locate(name)
    tensors, facts = read(path)
    if not finished(facts):
        raise WeightsError(f"{path}: a checkpoint of a training run, not finished weights; {ADD_HELP}")
    if facts["network"] != name:
        raise WeightsError(f"{path}: weights of '{facts['network']}', not of '{name}'")
    full = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    return TrainedWeights(facts["config"], full, Card.of(facts["card"], str(path)))


def network(name: str, config: type[C], build: Callable[[C], N], path: Path | None = None) -> N:
    """A network built from its Config, with trained weights: those at `path`, else a user's own, else those that ship.

    Raises:
        WeightsError: there are none, or they cannot be trusted (see `load`), or are of another version.
    """
    trained = load(name, path)
    try:
        result = build(config.of(trained.config, "its Config"))
    except SettingsError as error:
        raise WeightsError(f"the weights of '{name}' are of another version of Answerprint: {error}") from None
    fill(result, trained)
    return result


def training_clips(*names: str) -> frozenset[str]:
    """Keys (train/data.py) of what the weights that `load` takes for these names were trained on or chosen by."""
    keys: set[str] = set()
    for name in names:
        try:
            facts = _facts(_locate(name))
        except WeightsError:
            continue  # nothing to load, nothing that it has seen
        keys.update(json.loads(facts["answerprint"]).get("card", {}).get("seen", ()))
    return frozenset(keys)


def digest(name: str) -> str | None:
    """SHA-256 in the file whose weights `load` takes for this name; None where there is none to be trusted."""
    try:
        return _facts(_locate(name))["sha256"]
    except WeightsError:
        return None


def stamp(name: str, path: Path | None = None) -> tuple[str, int, int, int] | None:
    """Identity of the file that `load` takes, to tell whether a network in memory is still of it.

    Returns:
        Path, inode, time of change in ns and size; None where there is no file.
    """
    try:
        path = path or _locate(name)
        stat = path.stat()
    except (WeightsError, OSError):
        return None  # `load` says what is wrong
    return str(path), stat.st_ino, stat.st_mtime_ns, stat.st_size


def cached(name: str, make: Callable[[Path | None, torch.device], T]) -> Callable[[Path | None, torch.device], T]:
    """`make(path, device)`, whose results stay in memory as long as the file that `load` takes is the same.

    To read a network and make it ready for a size takes longer than many a shot.
    """

    @lru_cache(maxsize=2)
    def build(path: Path | None, device: torch.device, _: object) -> T:
        return make(path, device)

    return lambda path, device: build(path, device, stamp(name, path))


def kind(path: Path) -> str | None:
    """Name of the network whose finished weights a file holds; None where Answerprint did not write it.

    Raises:
        WeightsError: no such file, or truncated, or a checkpoint of a run.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    if path.suffix.lower() != ".safetensors" or not _is_ours(path):
        return None
    network: str | None = json.loads(_facts(path)["answerprint"]).get("network")
    if network is None:
        raise WeightsError(f"{path}: a checkpoint of a training run, not finished weights; {ADD_HELP}")
    return network


def _is_ours(path: Path) -> bool:
    try:
        with safetensors.safe_open(str(path), framework="pt") as opened:
            return "answerprint" in (opened.metadata() or {})
    except safetensors.SafetensorError:
        return True  # `_facts` says what is wrong with it


def fill(network: nn.Module, loaded: TrainedWeights) -> None:
    """Puts weights into a network built from their Config.

    Raises:
        WeightsError: names or shapes do not fit.
    """
    try:
        network.load_state_dict(loaded.tensors)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise WeightsError(f"the weights of '{loaded.card.name}' do not fit their own Config: {reason}") from None


def listing() -> tuple[list[Entry], list[WeightsError]]:
    """The weights that ship, then those a user added, each by name; and why files are refused that cannot be read."""
    entries, refused = [], []
    for folder in (SHIPPED, added()):
        for path in sorted(folder.glob("*.safetensors")):
            try:
                entry = _entry(path, folder == SHIPPED)
            except WeightsError as error:
                refused.append(error)
                continue
            if entry is not None:
                entries.append(entry)
    return entries, refused


def _entry(path: Path, ships: bool) -> Entry | None:
    card = json.loads(_facts(path)["answerprint"]).get("card")
    return None if card is None else Entry(path, Card.of(card, str(path)), ships, path.stat().st_size)


def added() -> Path:
    """Where a user puts weights of their own: $ANSWERPRINT_WEIGHTS, else the user's data folder."""
    own = os.environ.get("ANSWERPRINT_WEIGHTS")
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(own) if own else Path(data) / "answerprint" / "weights"


def foreign(path: Path) -> nn.Module:
    """A single-image network of someone else's, read by spandrel (42 architectures), float32, (B, 3, H, W) in and out.

    What the engine must know of it is put beside it as `multiple` (of sizes), `least` (shortest side) and `scale`
    (pixels out per pixel in).

    Raises:
        WeightsError: spandrel is not installed or does not import, or it does not know the file.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    try:
        import spandrel
    except (ImportError, RuntimeError) as error:
        raise WeightsError(
            f"{path}: other people's models are read by spandrel, which does not import here ({error}); "
            "install answerprint[models]"
        ) from None
    try:
        # spandrel unpickles with a list of allowed types: no code in the file is run.
        model = spandrel.ModelLoader(device="cpu").load_from_file(path)
    except Exception as error:  # whatever an unknown file makes spandrel raise
        raise WeightsError(f"{path}: spandrel cannot read it ({error})") from None
    if not isinstance(model, spandrel.ImageModelDescriptor) or model.input_channels != 3:
        raise WeightsError(f"{path}: not a network from one color picture to one color picture")
    network: nn.Module = model.model
    sizes = model.size_requirements
    network.multiple, network.least, network.scale = max(sizes.multiple_of, 1), max(sizes.minimum, 1), model.scale
    return network.float().eval()


def _locate(name: str) -> Path:
    for folder in (added(), SHIPPED):
        if (folder / f"{name}.safetensors").is_file():
            return folder / f"{name}.safetensors"
    raise WeightsError(
        f"there are no weights for '{name}', neither in {added()} nor with Answerprint; "
        f"train them: answerprint train {name} --data FOLDER -o RUN, then answerprint models --add RUN"
    )
