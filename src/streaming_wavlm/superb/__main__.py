"""``python -m streaming_wavlm.superb``: the same as ``streaming-wavlm superb run``."""

import os
import sys

# Threads that spin while they wait make a busy machine many times slower; read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from .launcher import launch
from .orphans import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    sys.exit(launch(sys.argv[1:]))
