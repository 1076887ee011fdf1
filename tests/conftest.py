"""Makes the helpers of this folder importable from every test; workers of pytest-xdist get one thread each."""

import os
import sys
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two workers with two threads each take twice as long on two cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

sys.path.insert(0, str(Path(__file__).parent))
