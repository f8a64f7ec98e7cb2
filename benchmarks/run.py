"""The standard set of benchmarks: ``streaming-wavlm bench``, whose options it takes."""

from __future__ import annotations

import sys

from streaming_wavlm.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
