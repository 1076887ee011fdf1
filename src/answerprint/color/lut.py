"""3D LUTs: `.cube` files in and out, tetrahedral interpolation, baking a grade into a LUT, proof that it reads back.

Formats: Adobe/IRIDAS Cube LUT Specification 1.0 (2013), and DaVinci Resolve's form of it (LUT_*_INPUT_RANGE, a 1D
shaper in front of the 3D table). Interpolation: tetrahedral, as OpenColorIO's INTERP_TETRAHEDRAL and FFmpeg's `lut3d`.

Inputs outside the domain are clamped to it, as in every grading system: with the usual domain of 0..1, a super-white is
looked up as 1 and a sub-black as 0. A LUT that must keep them needs a wider domain (`bake(..., low, high)`) or a
shaper. NaN becomes the lower end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from answerprint.color import fused
from answerprint.errors import ColorError

if TYPE_CHECKING:
    from av import VideoFrame

Triple = tuple[float, float, float]
_KEYWORDS = (
    "TITLE",
    "LUT_1D_SIZE",
    "LUT_3D_SIZE",
    "DOMAIN_MIN",
    "DOMAIN_MAX",
    "LUT_1D_INPUT_RANGE",
    "LUT_3D_INPUT_RANGE",
)
_SIZES = {"LUT_1D_SIZE": (2, 65536), "LUT_3D_SIZE": (2, 256)}


@dataclass(frozen=True, eq=False)
class Curves:
    """A table per channel (a 1D LUT), linear between its entries.

    Attributes:
        table: float32 (n, 3).
        low, high: input of the first and the last entry, per channel.
    """

    table: Tensor
    low: Triple = (0.0, 0.0, 0.0)
    high: Triple = (1.0, 1.0, 1.0)

    def apply(self, pixels: Tensor) -> Tensor:
        """The table's values at `pixels` (..., 3, H, W), differentiable; inputs outside the domain are clamped."""
        n = self.table.shape[0]
        place = _place(pixels, self.low, self.high, n)
        below = place.detach().floor().clamp(max=n - 2)
        fraction, start = place - below, below.long()
        table = self.table.to(pixels)
        parts = []
        for c in range(3):
            i, f = start.select(-3, c), fraction.select(-3, c)
            parts.append(table[i, c] * (1 - f) + table[i + 1, c] * f)
        return torch.stack(parts, -3)

    def program(self) -> fused.Program:
        """For the fused kernel."""
        n = self.table.shape[0]
        return fused.Program(
            curves=_plain(self.table), curves_low=_float32(self.low), curves_scale=_scale(self.low, self.high, n)
        )


@dataclass(frozen=True, eq=False)
class Cube:
    """A 3D LUT.

    Attributes:
        table: float32 (n, n, n, 3): table[blue, green, red] is the output color; red runs fastest, as in the file.
        low, high: the domain, per channel.
        title: one line; free text.
        comments: lines that stand at the head of the file.
        shaper: curves that are applied first; they map to the domain of the table.
    """

    table: Tensor
    low: Triple = (0.0, 0.0, 0.0)
    high: Triple = (1.0, 1.0, 1.0)
    title: str = ""
    comments: tuple[str, ...] = ()
    shaper: Curves | None = None

    @property
    def size(self) -> int:
        return int(self.table.shape[0])

    def apply(self, pixels: Tensor) -> Tensor:
        """Tetrahedral interpolation of `pixels`, float32 (..., 3, H, W), on any device.

        Differentiable in the pixels and in the table. On the CPU and without a gradient it takes the fused kernel.
        """
        if pixels.device.type == "cpu" and pixels.ndim == 3 and pixels.dtype == torch.float32:
            wanted = torch.is_grad_enabled() and (pixels.requires_grad or self.table.requires_grad)
            if not wanted:
                return fused.run(self.program(), pixels)
        shaped = self.shaper.apply(pixels) if self.shaper is not None else pixels
        return _tetrahedral(shaped, self.table.to(pixels), self.low, self.high)

    def program(self) -> fused.Program:
        """For the fused kernel."""
        front = self.shaper.program() if self.shaper is not None else fused.Program()
        return replace(
            front,
            table=np.pad(_plain(self.table.reshape(-1, 3)), ((0, 0), (0, 1))),
            size=self.size,
            low=_float32(self.low),
            scale=_scale(self.low, self.high, self.size),
        )


def bake(
    transform: Callable[[Tensor], Tensor],
    size: int = 33,
    low: Triple = (0.0, 0.0, 0.0),
    high: Triple = (1.0, 1.0, 1.0),
    title: str = "",
    comments: tuple[str, ...] = (),
    shaper: Curves | None = None,
) -> Cube:
    """Samples a function of colors at the points of a grid; both ends of the domain are sampled exactly.

    Args:
        transform: pixels float32 (3, H, W) to pixels of the same shape, pointwise.
        size: points per axis, 2..256.
        low, high: the domain.
        shaper: kept in front of the table; `transform` then gets shaped values.

    Raises:
        ColorError: the size is out of range or the transform gives NaN or infinity.
    """
    _check_size("LUT_3D_SIZE", size, "bake")
    ramps = [torch.linspace(a, b, size, dtype=torch.float64).to(torch.float32) for a, b in zip(low, high, strict=True)]
    blue, green, red = torch.meshgrid(ramps[2], ramps[1], ramps[0], indexing="ij")
    grid = torch.stack([red, green, blue]).reshape(3, size, size * size)
    with torch.no_grad():
        graded = transform(grid)
    if not bool(torch.isfinite(graded).all()):
        raise ColorError(
            f"LUT '{title}': the grade gives NaN or infinity inside the domain {low} to {high}; make it milder"
        )
    table = graded.reshape(3, -1).T.reshape(size, size, size, 3).contiguous()
    return Cube(table, low, high, title, comments, shaper)


def identity(size: int = 33) -> Cube:
    """The LUT that changes nothing."""
    return bake(lambda pixels: pixels, size, title="identity")


def _tetrahedral(pixels: Tensor, table: Tensor, low: Triple, high: Triple) -> Tensor:
    """The same corners and weights as `fused._places`, in torch."""
    n = table.shape[0]
    place = _place(pixels, low, high, n)
    below = place.detach().floor().clamp(max=n - 2)
    fraction = place - below
    steps = torch.tensor([1, n, n * n], device=pixels.device)
    base = (below.long() * steps.view(3, 1, 1)).sum(-3)
    ordered, axes = fraction.sort(dim=-3, descending=True)
    walk = steps[axes]
    big, middle, small = ordered.unbind(-3)
    corners = (base, base + walk.select(-3, 0), base + walk.select(-3, 0) + walk.select(-3, 1), base + int(steps.sum()))
    weights = (1 - big, big - middle, middle - small, small)
    flat = table.reshape(-1, 3)
    mixed = sum((flat[i] * w.unsqueeze(-1) for i, w in zip(corners, weights, strict=True)), flat.new_zeros(()))
    return mixed.movedim(-1, -3)


def _place(pixels: Tensor, low: Triple, high: Triple, n: int) -> Tensor:
    """Pixels as positions 0..n-1 in a table."""
    start, span = _column(low, pixels), _column(high, pixels) - _column(low, pixels)
    return torch.nan_to_num((pixels - start) * ((n - 1) / span), nan=0.0, posinf=n - 1.0, neginf=0.0).clamp(0, n - 1)


def _column(triple: Triple, like: Tensor) -> Tensor:
    return torch.tensor(triple, dtype=like.dtype, device=like.device).view(3, 1, 1)


def _plain(table: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(table.detach().to("cpu", torch.float32).numpy())


def _float32(triple: Triple) -> NDArray[np.float32]:
    return np.asarray(triple, np.float32)


def _scale(low: Triple, high: Triple, n: int) -> NDArray[np.float32]:
    return ((n - 1) / (np.asarray(high, np.float64) - np.asarray(low, np.float64))).astype(np.float32)


# ---- files


def read(path: Path) -> Cube | Curves:
    """Reads a `.cube` file: a 3D LUT, a 3D LUT behind a 1D shaper, or a 1D LUT.

    Both range forms are honored: DOMAIN_MIN and DOMAIN_MAX (Adobe), LUT_1D_ and LUT_3D_INPUT_RANGE (Resolve).

    Raises:
        ColorError: the file cannot be read or is not a LUT; the message tells file and line.
    """
    lines = _text(path).splitlines()
    header, first = _header(lines, path)
    sizes = {key: int(header[key][1]) for key in _SIZES if key in header}
    if not sizes:
        raise ColorError(f"{path}: no LUT_3D_SIZE or LUT_1D_SIZE in it; this is not a .cube LUT")
    rows = [sizes.get("LUT_1D_SIZE", 0), sizes.get("LUT_3D_SIZE", 0) ** 3]
    wanted = " and ".join(f"{key} {size}" for key, size in sizes.items())
    table = torch.from_numpy(_rows(lines, first, sum(rows), wanted, path))
    curves = None
    if "LUT_1D_SIZE" in sizes:
        curves = Curves(table[: rows[0]].contiguous(), *_domain(header, "LUT_1D_INPUT_RANGE", path))
        if "LUT_3D_SIZE" not in sizes:
            return curves
    n = sizes["LUT_3D_SIZE"]
    title = str(header.get("TITLE", (0, ""))[1])
    low, high = _domain(header, "LUT_3D_INPUT_RANGE", path)
    return Cube(table[rows[0] :].reshape(n, n, n, 3).contiguous(), low, high, title, (), curves)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ColorError(f"{path}: LUT cannot be read ({error.strerror})") from None
    if not data.strip():
        raise ColorError(f"{path}: the LUT file is empty")
    if b"\0" in data[:4096]:
        raise ColorError(f"{path}: not a text file; a LUT is read from a .cube file")
    return data.decode("utf-8-sig", errors="replace")


def _header(lines: list[str], path: Path) -> tuple[dict[str, tuple[int, Any]], int]:
    """Keyword -> (line number, value), and the index of the first row of numbers."""
    header: dict[str, tuple[int, Any]] = {}
    for index, line in enumerate(lines):
        words = line.split("#")[0].split() if not line.lstrip().upper().startswith("TITLE") else line.split()
        if not words:
            continue
        if _is_number(words[0]):
            return header, index
        key, where = words[0].upper(), f"{path}:{index + 1}"
        if key not in _KEYWORDS:
            raise ColorError(
                f"{where}: '{words[0][:40]}' is not a keyword of a .cube LUT; allowed: {', '.join(_KEYWORDS)}"
            )
        if key in header:
            raise ColorError(f"{where}: {key} stands twice (first on line {header[key][0]})")
        header[key] = (index + 1, _value(key, words[1:], line, where))
    return header, len(lines)


def _value(key: str, words: list[str], line: str, where: str) -> Any:
    if key == "TITLE":
        return line.split(None, 1)[1].strip().strip('"') if words else ""
    if key in _SIZES:
        if len(words) != 1 or not words[0].isdigit():
            raise ColorError(f"{where}: {key} needs one whole number, found '{' '.join(words)}'")
        return _check_size(key, int(words[0]), where)
    count = 3 if key.startswith("DOMAIN") else 2
    if len(words) != count or not all(_is_number(word) and np.isfinite(float(word)) for word in words):
        raise ColorError(f"{where}: {key} needs {count} numbers, found '{' '.join(words)}'")
    return tuple(float(word) for word in words)


def _check_size(key: str, size: int, where: str) -> int:
    low, high = _SIZES[key]
    if not low <= size <= high:
        raise ColorError(f"{where}: {key} is {size}; allowed: {low} to {high}")
    return size


def _domain(header: dict[str, tuple[int, Any]], key: str, path: Path) -> tuple[Triple, Triple]:
    """Lower and upper end of the inputs, from whichever keywords the file has."""
    named = [name for name in ("DOMAIN_MIN", "DOMAIN_MAX") if name in header]
    if key in header and named:
        raise ColorError(f"{path}:{header[key][0]}: {key} and {named[0]} both give the range; keep one of them")
    if key in header:
        line, (a, b) = header[key]
        low, high = (a, a, a), (b, b, b)
        if b in (255.0, 1023.0, 4095.0, 65535.0):
            raise ColorError(f"{path}:{line}: {key} {a:g} {b:g} counts in code values; a .cube LUT counts from 0 to 1")
    else:
        line = max((header[name][0] for name in named), default=1)
        low = header.get("DOMAIN_MIN", (0, (0.0, 0.0, 0.0)))[1]
        high = header.get("DOMAIN_MAX", (0, (1.0, 1.0, 1.0)))[1]
    if not all(a < b for a, b in zip(low, high, strict=True)):
        raise ColorError(f"{path}:{line}: the input range {_words(low)} to {_words(high)} is empty or reversed")
    return low, high


def _rows(lines: list[str], first: int, count: int, wanted: str, path: Path) -> NDArray[np.float32]:
    """`count` rows of three numbers from line index `first` on."""
    body = [line.split("#")[0] for line in lines[first:]]
    try:
        values = np.array(" ".join(body).split(), dtype=np.float64)
    except ValueError:
        values = np.zeros(0)
    widths = {len(line.split()) for line in body} - {0}
    if values.size != 3 * count or widths != {3} or not np.isfinite(values).all():
        _complain(body, first, count, wanted, path)
    return values.reshape(count, 3).astype(np.float32)


def _complain(body: Iterable[str], first: int, count: int, wanted: str, path: Path) -> None:
    """Finds the line that is wrong."""
    rows = 0
    for number, line in enumerate(body, first + 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 3 or not all(_is_number(word) for word in words):
            raise ColorError(f"{path}:{number}: a row of the table is three numbers, found '{line.strip()[:40]}'")
        if not np.isfinite([float(word) for word in words]).all():
            raise ColorError(f"{path}:{number}: NaN or infinity in the table: '{line.strip()}'")
        rows += 1
        if rows > count:
            break
    found = f"more than {count}" if rows > count else str(rows)
    where = f"{path}:{number}" if rows > count else str(path)
    raise ColorError(f"{where}: {wanted} needs {count} rows, the file has {found}; it is cut off or its size is wrong")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _words(triple: Iterable[float]) -> str:
    return " ".join(f"{value:g}" for value in triple)


def write(cube: Cube, path: Path) -> None:
    """Writes a portable `.cube`: TITLE, size, red fastest; a range only where it is not 0..1.

    With a shaper it is Resolve's form (which has no TITLE in OpenColorIO's reading, so the title becomes a comment).

    Raises:
        ColorError: the place cannot be written, or the table holds NaN or infinity.
    """
    if not bool(torch.isfinite(cube.table).all()):
        raise ColorError(f"{path}: the LUT holds NaN or infinity and was not written")
    text = "\n".join([*_head(cube), *_table_lines(cube)]) + "\n"
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8") as part:
            part.write(text)
        Path(part.name).chmod(0o644)
        Path(part.name).replace(path)
    except OSError as error:
        raise ColorError(f"{path}: LUT cannot be written ({error.strerror})") from None


def _head(cube: Cube) -> list[str]:
    title = " ".join(cube.title.replace('"', "'").split())
    comments = [f"# {line}" for comment in cube.comments for line in comment.splitlines()]
    if cube.shaper is not None:
        front, ends = cube.shaper, (cube.low, cube.high)
        for ends in ((front.low, front.high), (cube.low, cube.high)):
            if len(set(ends[0])) > 1 or len(set(ends[1])) > 1:
                raise ColorError("a LUT with a shaper needs the same range in all three channels")
        return [
            *([f"# {title}"] if title else []),
            *comments,
            f"LUT_1D_SIZE {front.table.shape[0]}",
            f"LUT_1D_INPUT_RANGE {front.low[0]:.8f} {front.high[0]:.8f}",
            f"LUT_3D_SIZE {cube.size}",
            f"LUT_3D_INPUT_RANGE {cube.low[0]:.8f} {cube.high[0]:.8f}",
        ]
    lines = [f'TITLE "{title}"'] if title else []
    lines += [*comments, f"LUT_3D_SIZE {cube.size}"]
    if cube.low != (0.0, 0.0, 0.0) or cube.high != (1.0, 1.0, 1.0):
        lines += [
            f"{key} {a:.8f} {b:.8f} {c:.8f}" for key, (a, b, c) in (("DOMAIN_MIN", cube.low), ("DOMAIN_MAX", cube.high))
        ]
    return lines


def _table_lines(cube: Cube) -> list[str]:
    tables = ([cube.shaper.table] if cube.shaper is not None else []) + [cube.table.reshape(-1, 3)]
    rows = torch.cat([table.detach().cpu() for table in tables]).to(torch.float64).tolist()
    return [f"{r:.8f} {g:.8f} {b:.8f}" for r, g, b in rows]


# ---- proof


@dataclass(frozen=True)
class Difference:
    """How far a reader of the file is from the direct transform, in units of nominal white."""

    reader: str
    largest: float
    mean: float


def verify(
    direct: Cube | Callable[[Tensor], Tensor], path: Path, samples: int = 40000, seed: int = 0
) -> list[Difference]:
    """Reads a `.cube` back through OpenColorIO and FFmpeg's `lut3d` and compares both with the direct transform.

    Args:
        direct: the cube that was written (the difference is then only rounding) or the function that it was baked from
            (the difference is then also what the grid cannot hold).
        path: the file.
        samples: how many random colors inside the domain; the corners of the domain are added.

    Returns:
        One entry per reader. FFmpeg knows no shaper and is left out where the file has one.

    Raises:
        ColorError: a reader refuses the file.
    """
    cube = read(path)
    front = cube.shaper if isinstance(cube, Cube) and cube.shaper is not None else cube
    generator = torch.Generator().manual_seed(seed)
    unit = torch.rand(3, 1, samples, generator=generator)
    corners = torch.tensor([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)], dtype=torch.float32).T.reshape(3, 1, 8)
    low, high = _column(front.low, unit), _column(front.high, unit)
    colors = low + torch.cat([unit, corners], 2) * (high - low)
    with torch.no_grad():
        wanted = direct.apply(colors) if isinstance(direct, Cube) else direct(colors)
    readers = {"OpenColorIO": _by_opencolorio}
    if isinstance(cube, Cube) and cube.shaper is None:
        readers["FFmpeg lut3d"] = _by_ffmpeg
    found = []
    for name, reader in readers.items():
        error = (reader(path, colors) - wanted).abs().double()
        found.append(Difference(name, float(error.max()), float(error.mean())))
    return found


def _by_opencolorio(path: Path, colors: Tensor) -> Tensor:
    import PyOpenColorIO as ocio  # noqa: N813

    transform = ocio.FileTransform(str(path.resolve()), interpolation=ocio.INTERP_TETRAHEDRAL)
    try:
        processor = ocio.Config.CreateRaw().getProcessor(transform).getDefaultCPUProcessor()
    except ocio.Exception as error:
        raise ColorError(f"{path}: OpenColorIO cannot read this LUT ({str(error).splitlines()[0]})") from None
    interleaved = np.ascontiguousarray(colors.reshape(3, -1).T.numpy())
    processor.applyRGB(interleaved)
    return torch.from_numpy(interleaved).T.reshape(colors.shape)


_PLANES = (1, 2, 0)  # of FFmpeg's planar R'G'B': green, blue, red


def lut3d(path: Path, colors: Tensor, threads: int = 0) -> Callable[[], VideoFrame]:
    """FFmpeg's `lut3d` over the same colors, each time it is called; the LUT is read once.

    Args:
        path: the LUT.
        colors: finite, (3, H, W).
        threads: of the filter; 0 for as many as FFmpeg likes.

    Raises:
        ColorError: FFmpeg cannot read the LUT.
    """
    import av

    height, width = int(colors.shape[1]), int(colors.shape[2])
    frame, graph = _planar(colors), av.filter.Graph()
    graph.threads = threads
    try:
        source = graph.add_buffer(width=width, height=height, format="gbrpf32le", time_base="1/25")
        lut, sink = graph.add("lut3d", file=str(path), interp="tetrahedral"), graph.add("buffersink")
        source.link_to(lut)
        lut.link_to(sink)
        graph.configure()
    except av.FFmpegError as error:
        raise ColorError(f"{path}: FFmpeg cannot read this LUT ({error.strerror})") from None

    def go() -> VideoFrame:
        source.push(frame)
        _ = graph  # must live as long as this is called
        made: Any = sink.pull()
        return made  # type: ignore[no-any-return, unused-ignore]

    return go


def _planar(colors: Tensor) -> VideoFrame:
    """Rows are padded with 0: the filter works on that, too, and a not-a-number there by chance ends the process."""
    import av

    height, width = int(colors.shape[1]), int(colors.shape[2])
    frame = av.VideoFrame(width, height, "gbrpf32le")
    for plane, channel in zip(frame.planes, _PLANES, strict=True):
        rows = np.frombuffer(plane, np.float32).reshape(-1, plane.line_size // 4)
        rows[:] = 0
        rows[:height, :width] = colors[channel].numpy()
    return frame


def _by_ffmpeg(path: Path, colors: Tensor) -> Tensor:
    height, width = int(colors.shape[1]), int(colors.shape[2])
    result = lut3d(path, colors)()
    planes = [np.frombuffer(p, np.float32).reshape(-1, p.line_size // 4)[:height, :width] for p in result.planes]
    return torch.from_numpy(np.stack([planes[_PLANES.index(c)] for c in range(3)]))
