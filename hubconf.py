"""Entry points of ``torch.hub``: ``torch.hub.load(REPOSITORY, "streaming_wavlm_400ms", ckpt="mini")``."""

import sys
from pathlib import Path

dependencies = ["torch", "numpy", "safetensors", "yaml"]

sys.path.insert(0, str(Path(__file__).parent / "src"))

from streaming_wavlm.superb.factories import (  # noqa: E402, F401
    streaming_wavlm,
    streaming_wavlm_200ms,
    streaming_wavlm_400ms,
    streaming_wavlm_800ms,
    streaming_wavlm_1000ms,
    streaming_wavlm_offline,
)
