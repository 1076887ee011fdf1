"""Makes the helpers of this folder importable from every test, and shares the cores among the workers of pytest-xdist."""

import os
import sys
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread each: two workers with two threads each on two cores take twice as long.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

sys.path.insert(0, str(Path(__file__).parent))
