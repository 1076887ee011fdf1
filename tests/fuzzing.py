"""Commands run on damaged input, each in a process of its own that is bounded in time and memory.

A server imports Answerprint once and forks for every command: `python tests/fuzzing.py` reads one JSON object a line
(the words of a command, its folder) and answers each with one.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 40  # that a command may take
MEMORY = 1500 << 20  # bytes that it may hold
_ADDRESSES = 3 << 30  # bytes that it may ask for besides what importing took
_ODD_WORDS = [
    "nan",
    "inf",
    "-1",
    "0",
    "1e999",
    "9" * 400,
    "",
    "\x00",
    "\n",
    "../../x",
    "[" * 2000,
    '"' * 3,
    "\udcff",
    "%n",
]


@dataclass(frozen=True)
class Answer:
    """What a command came to.

    Attributes:
        status: exit status; negative: the signal that ended it.
        said: its standard error.
        memory: bytes that it held at most.
        seconds: it took.
    """

    status: int
    said: str
    memory: int
    seconds: float

    def faults(self) -> Iterator[str]:
        """What no command may do, in words."""
        # libpng says its error on the terminal by itself, before OpenImageIO hands it on.
        lines = [line for line in self.said.splitlines() if not line.startswith(("note: ", "libpng "))]
        if self.status not in (0, 2):
            yield f"exit status {self.status}"
        if "Traceback" in self.said:
            yield "a traceback"
        if self.status == 2 and (len(lines) != 1 or not lines[0].startswith("answerprint: ") or len(lines[0]) > 3000):
            yield f"{len(lines)} lines for one refusal"
        if self.status == 0 and lines:
            yield "words on standard error besides notes"
        if self.memory > MEMORY:
            yield f"{self.memory >> 20} MiB"
        if self.seconds > SECONDS:
            yield f"{self.seconds:.0f} seconds"


class Server:
    """Runs commands; a context manager."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, words: Sequence[str], folder: Path) -> Answer:
        """Runs one command in a folder."""
        assert self._process.stdin and self._process.stdout
        print(json.dumps({"words": list(words), "folder": str(folder)}), file=self._process.stdin, flush=True)
        return Answer(**json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def damage(data: bytes, others: Sequence[bytes], chance: random.Random, is_text: bool) -> bytes:
    """The bytes of a file with one to six things wrong.

    Args:
        data: of a good file.
        others: good files of the same kind, of which parts may be taken.
        chance: decides.
        is_text: whether words and lines are changed besides bytes.
    """
    for _ in range(chance.choice([1, 1, 2, 3, 6])):
        if not data:
            return data
        change = chance.choice([_change_words, _change_lines, _change_bytes] if is_text else [_change_bytes])
        data = change(data, others, chance)
    return data


def _change_bytes(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    # Most of what a reader trusts stands in a file's head.
    at = chance.randrange(min(len(data), chance.choice([64, 1024, len(data)])))
    length = min(chance.choice([1, 2, 4, 8, 64, 4096]), len(data) - at)
    filling = chance.choice([b"\0", b"\xff", b"\x7f", b"\x80"])
    other = chance.choice(list(others))
    start = chance.randrange(max(len(other), 1))
    new = chance.choice(
        [
            bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 : at + length],
            filling * length,
            chance.randbytes(length),
            other[start : start + length],
            b"",
            data[at : at + length] * 2,
        ]
    )
    return data[:at] if chance.random() < 0.1 else data[:at] + new + data[at + length :]


def _change_words(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    text = data.decode("utf-8", "surrogateescape")
    words = list(re.finditer(r"[\w.+-]+", text))
    if not words:
        return data
    word = chance.choice(words)
    new = chance.choice([*_ODD_WORDS, chance.choice(words)[0], word[0] * 2, ""])
    return (text[: word.start()] + new + text[word.end() :]).encode("utf-8", "surrogateescape")


def _change_lines(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    lines, more = data.splitlines(keepends=True), chance.choice(list(others)).splitlines(keepends=True)
    at = chance.randrange(len(lines))
    chance.choice(
        [
            lambda: lines.pop(at),
            lambda: lines.insert(at, chance.choice(lines)),
            lambda: lines.insert(at, chance.choice(more or [b"\n"])),
            lambda: lines.insert(at, lines.pop(chance.randrange(len(lines)))),
        ]
    )()
    return b"".join(lines)


def _serve() -> None:
    from answerprint import cli, operations

    for name in ("job", "summary", "export", "decide"):
        importlib.import_module(f"answerprint.render.{name}")
    for name in operations.names():
        operations.load(name)
    for line in sys.stdin:
        task = json.loads(line)
        print(json.dumps(_answer(cli, task["words"], Path(task["folder"]))), flush=True)


def _answer(cli: Any, words: list[str], folder: Path) -> dict[str, Any]:
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        _run(cli, words, folder)
    status, usage = _wait(child, begin)
    said = (folder / "stderr").read_text(encoding="utf-8", errors="backslashreplace")
    return {"status": status, "said": said, "memory": usage.ru_maxrss << 10, "seconds": time.monotonic() - begin}


def _wait(child: int, begin: float) -> tuple[int, Any]:
    while True:
        pid, state, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(state), usage
        if time.monotonic() - begin > SECONDS + 1:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)


def _run(cli: Any, words: list[str], folder: Path) -> None:
    """The command, in a forked process that it ends."""
    status = 1
    try:
        os.chdir(folder)
        for number, name in ((0, os.devnull), (1, os.devnull), (2, "stderr")):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + _ADDRESSES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        cli.main(words)
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
