"""``python -m streaming_wavlm``, where the command ``streaming-wavlm`` is not on the path."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
