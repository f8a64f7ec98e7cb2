"""``python -m streaming_wavlm.superb``: the same as ``streaming-wavlm superb run``."""

import sys

from .launcher import launch

if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
