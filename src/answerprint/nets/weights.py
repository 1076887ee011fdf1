"""Trained weights on disk: safetensors that carry their own dimensions, card and SHA-256.

Nothing else in the house opens such a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from answerprint.errors import WeightsError


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes tensors with JSON facts and a SHA-256 over both; the file is whole or not there.

    Args:
        path: file to write; an older one is replaced in one move.
        tensors: by name; stored in their own type.
        facts: anything JSON can hold.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(dict(facts), sort_keys=True)
    metadata = {"answerprint": text, "sha256": _digest(kept, text)}
    part = path.with_name(path.name + ".part")
    safetensors.torch.save_file(kept, str(part), metadata=metadata)
    part.replace(path)


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
    if start[:2] == b"PK" or start[:1] == b"\x80":
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
