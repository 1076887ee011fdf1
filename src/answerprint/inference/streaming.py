"""Temporal networks on pictures of any size: each tile has its own memory, on disk where there is no room for all.

A temporal network that works frame by frame remembers hundreds of bytes per pixel from one frame to the next. A large
picture is cut into tiles; each tile takes its memory up, sees the next frames and puts it down again, so that what is
held at once does not grow with the picture.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from answerprint.inference import engine

ROOM = 5 << 28  # bytes of memory of tiles that stay in memory: enough for 1080p
TOGETHER = 1 << 29  # bytes of frames that tiles see in one turn
MOST = 4  # frames in one turn
TILE, OVERLAP = 1152, 64


class NetworkState(Protocol):
    """The state of a network within a shot."""

    def tensors(self) -> list[Tensor]: ...
    def filled(self, tensors: Iterator[Tensor]) -> Self: ...


M = TypeVar("M", bound=NetworkState)


class Steps(Protocol[M]):
    """A network that takes frame after frame."""

    def fresh(self) -> M: ...
    def push(self, memory: M, planes: Sequence[Tensor]) -> Tensor | None: ...
    def finish(self, memory: M) -> Iterator[Tensor]: ...


def frames(
    network: Steps[M],
    sequence: Iterator[Sequence[Tensor]],
    *,
    multiple: int,
    tile: int = TILE,
    overlap: int = OVERLAP,
    room: int = ROOM,
) -> Iterator[Tensor]:
    """Runs a temporal network over the frames of a shot.

    Args:
        network: takes frame after frame.
        sequence: planes (B, C, H, W) of each frame, of one size.
        multiple: what height and width must be multiples of for the network.
        tile: pictures longer or wider than this are cut into tiles no larger.
        overlap: pixels shared by neighboring tiles, over which one fades into the other.
        room: bytes of memory of tiles that may stay in memory; the rest lies in a temporary file meanwhile.

    Yields:
        The results (B, C, H, W), in order; a result may come some frames after its frame.
    """
    first = next(sequence, None)
    if first is None:
        return
    height, width = first[0].shape[-2:]
    sequence = itertools.chain([first], sequence)
    down, right = -height % multiple, -width % multiple
    if max(height + down, width + right) <= tile:
        whole = _whole(network, (engine.padded(planes, multiple) for planes in sequence))
        yield from (result[..., :height, :width] for result in whole)
        return
    pieces = engine.grid(height + down, width + right, tile, overlap, multiple)
    batch = max(1, min(MOST, TOGETHER // sum(2 * plane.nbytes for plane in first)))
    with _Shelf(network.fresh, len(pieces), room) as shelf:
        # Several frames in one turn: memories on disk are fetched less often. Without any there, one is enough.
        while some := list(itertools.islice(sequence, batch if shelf.parked else 1)):
            grown = [engine.padded(planes, multiple) for planes in some]
            results = _Results(height + down, width + right, overlap)
            for index, piece in enumerate(pieces):
                memory = shelf.take(index)
                cut = (tuple(piece.cut(plane) for plane in planes) for planes in grown)
                results.add(piece, [result for planes in cut if (result := network.push(memory, planes)) is not None])
                shelf.put(index, memory)
            del grown, some
            yield from (result[..., :height, :width] for result in results.take())
        results = _Results(height + down, width + right, overlap)
        for index, piece in enumerate(pieces):
            results.add(piece, list(network.finish(shelf.take(index))))
        yield from (result[..., :height, :width] for result in results.take())


def _whole(network: Steps[M], sequence: Iterator[Sequence[Tensor]]) -> Iterator[Tensor]:
    memory = network.fresh()
    for planes in sequence:
        if (result := network.push(memory, planes)) is not None:
            yield result
    yield from network.finish(memory)


class _Results:
    """Frames put together from the results of tiles, each fading into its neighbors."""

    def __init__(self, height: int, width: int, overlap: int) -> None:
        self.size, self.overlap = (height, width), overlap
        self.totals: list[Tensor] = []
        self.weight = torch.zeros(height, width)

    def add(self, piece: engine.Tile, frames: Sequence[Tensor]) -> None:
        if not self.totals:
            self.totals = [torch.zeros(*tile.shape[:-2], *self.size) for tile in frames]
        share = engine.feather(piece, *self.size, self.overlap)
        piece.cut(self.weight).add_(share)
        for total, tile in zip(self.totals, frames, strict=True):
            piece.cut(total).add_(tile.cpu() * share)

    def take(self) -> Iterator[Tensor]:
        while self.totals:
            yield self.totals.pop(0).div_(self.weight)


class _Shelf(Generic[M]):
    """The memories of tiles that wait for their turn: in memory while there is room, in temporary files else."""

    def __init__(self, fresh: Callable[[], M], count: int, room: int) -> None:
        self.held: list[M] = [fresh() for _ in range(count)]
        self.files: dict[int, IO[bytes]] = {}
        self.forms: dict[int, list[tuple[Any, torch.device]]] = {}
        self.room = room

    @property
    def parked(self) -> bool:
        """Whether some of them lie on disk."""
        return bool(self.files)

    def take(self, index: int) -> M:
        memory = self.held[index]
        if index not in self.forms:
            self.room += _bytes(memory)
            return memory
        file = self.files[index]
        file.seek(0)
        return memory.filled(self._read(file, self.forms.pop(index)))

    def put(self, index: int, memory: M) -> None:
        size = _bytes(memory)
        if size <= self.room:
            self.held[index] = memory
            self.room -= size
            return
        if index not in self.files:
            self.files[index] = tempfile.TemporaryFile(prefix="answerprint-tiles-")  # noqa: SIM115 - closed below
        file = self.files[index]
        file.seek(0)
        form = []
        for tensor in memory.tensors():
            array = tensor.detach().cpu().contiguous().numpy()
            file.write(array.data)
            form.append((np.empty((0, *array.shape), array.dtype), tensor.device))
        self.forms[index] = form
        self.held[index] = memory.filled(iter(torch.empty(0) for _ in form))

    def _read(self, file: IO[bytes], form: Sequence[tuple[Any, torch.device]]) -> Iterator[Tensor]:
        for empty, device in form:
            array = np.empty(empty.shape[1:], empty.dtype)
            file.readinto(array.data)  # type: ignore[attr-defined]
            yield torch.from_numpy(array).to(device)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.files.values():
            file.close()


def _bytes(memory: NetworkState) -> int:
    return sum(tensor.nbytes for tensor in memory.tensors())
