"""The model card: the README.md of a published checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from streaming_wavlm.config import StreamingWavLMConfig

from .layout import expected_shapes

_TEMPLATE = """\
---
library_name: streaming-wavlm
pipeline_tag: feature-extraction
tags:
- speech
- audio
- streaming
- wavlm
{license}---

# {title}

{summary}
{warning}
```python
import streaming_wavlm as sw

model = sw.load("path/or/hub-id")
{usage}
```

## Architecture

| | |
|---|---|
{table}

## Provenance

<details>
<summary>in full</summary>

```json
{provenance}
```

</details>
"""


def model_card(config: StreamingWavLMConfig, provenance: Mapping[str, Any]) -> str:
    """Return the text of the model card, its YAML header included.

    Args:
        config: the architecture.
        provenance: where the weights came from; ``license`` in it goes into the header.
    """
    weights = sum(math.prod(shape) for shape in expected_shapes(config).values())
    rows = {
        "layers of features": config.num_layers,
        "width": config.dim,
        "parameters": f"{weights / 1e6:.1f} M",
        "frames": f"one per {config.hop} samples (16 kHz, mono)",
    }
    if config.causal:
        latency = config.latency
        rows |= {
            "chunk": f"{config.chunk_ms} ms, as saved; any multiple of the hop when loading (`chunk_ms=`)",
            "lookahead inside a block": config.lookahead_size,
            "window": f"{config.window_size} frames",
            "front padding": config.front_pad,
            "algorithmic latency": f"{latency.algorithmic_ms:g} ms",
        }
    causal = config.causal
    return _TEMPLATE.format(
        license=f"license: {provenance['license']}\n" if "license" in provenance else "",
        title="Streaming WavLM" if causal else "WavLM, bidirectional reference",
        summary=(
            "A causal WavLM speech encoder: audio goes in chunk by chunk, the hidden states of every layer "
            "come out, and they equal those of one pass over the whole recording."
            if causal
            else "An offline WavLM speech encoder in the streaming one's classes; it cannot be streamed."
        ),
        warning="\n**These are random weights: the features mean nothing.**\n"
        if is_random(provenance)
        else "",
        usage=(
            "session = sw.StreamSession(model, sample_rate=48000)\n"
            "features = session.push(packet)  # [layers, new frames, dim]"
            if causal
            else "features = model(wavs).hidden_states  # wavs: [batch, samples]"
        ),
        table="\n".join(f"| {name} | {value} |" for name, value in rows.items()),
        provenance=json.dumps(dict(provenance), indent=2),
    )


def is_random(provenance: Mapping[str, Any]) -> bool:
    """Tell whether the weights were drawn at random and never trained."""
    return provenance.get("weights") == "random"
