"""Measures Answerprint beside its peers: `python -m benchmarks NAME`, or `make bench NAME=...`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import benchmarks
from answerprint.errors import AnswerprintError


def main() -> int:
    """Runs the bench that the command line names; 1 where a target was missed, 2 where it cannot run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Answerprint beside its peers.")
    parser.add_argument("name", metavar="NAME", help="what to measure: " + ", ".join(benchmarks.names()))
    parser.add_argument("-o", "--output", type=Path, default=Path("bench"), help="folder for the HTML and JSON tables")
    parser.add_argument("--data", type=Path, help="folder of test footage; some benches need it")
    parser.add_argument("--quick", action="store_true", help="fewer frames: a first look, not figures to quote")
    options = parser.parse_args()
    try:
        return 0 if benchmarks.run(options.name, options.output, options.data, options.quick) else 1
    except AnswerprintError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
