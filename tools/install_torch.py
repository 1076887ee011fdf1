"""Installs the pinned torch by itself, taking the CPU build where one is offered.

Resolved together with the rest, pip may pick the newest torch, and on Linux the default index serves builds with
gigabytes of CUDA. So: the pinned version first from what pip already reaches when that is a CPU build, else from
PyTorch's own CPU index, else (offline mirrors without one) whatever build of the pinned version there is.
"""

import re
import subprocess
import sys
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def pinned(constraints: Path) -> str:
    line = re.search(r"^(torch==\S+)", constraints.read_text(encoding="utf-8"), re.MULTILINE)
    if line is None:
        sys.exit(f"{constraints}: no line 'torch==VERSION'")
    return line.group(1)


def pip(*arguments: str, quiet: bool = False) -> bool:
    command = [sys.executable, "-m", "pip", "install", "-q", *arguments]
    return subprocess.run(command, stderr=subprocess.DEVNULL if quiet else None).returncode == 0


def main() -> None:
    constraints = Path(sys.argv[1])
    requirement = pinned(constraints)
    also = ["-c", str(constraints)]
    if pip(f"{requirement}+cpu", *also, quiet=True):  # a mirror or a wheel folder that carries the CPU build
        return
    if sys.platform == "linux" and pip(
        requirement, *also, "--index-url", CPU_INDEX, "--retries", "0", "--timeout", "8", quiet=True
    ):
        return
    if not pip(requirement, *also):
        sys.exit(f"{requirement} could not be installed; see the messages above")


if __name__ == "__main__":
    main()
