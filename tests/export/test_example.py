"""The client in docs/export.md runs as it is pasted, without torch, and gives what the model gives."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from streaming_wavlm import corpus
from streaming_wavlm.export import export
from tiny import tiny_model

DOCS = Path(__file__).parents[2] / "docs" / "export.md"
KEEP = (
    "\nnp.save('features.npy', np.concatenate(features, 1))\nimport sys\nassert 'torch' not in sys.modules\n"
)


def test_the_documented_client_runs_as_pasted(tmp_path) -> None:
    for library in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(library)
    (code,) = re.findall(r"```python\n(import json.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 25
    model = tiny_model(dtype=torch.float32, chunk_ms=200)
    export(model, tmp_path / "mini.onnx", format="onnx")
    audio = corpus.long_recording(2.5)[:38_765]  # past the window, with a ragged end
    np.save(tmp_path / "audio.npy", audio)
    run = subprocess.run(
        [sys.executable, "-c", code + KEEP], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    with torch.inference_mode():
        wanted = torch.cat(model(torch.from_numpy(audio)[None]).hidden_states).numpy()
    ours = np.load(tmp_path / "features.npy")
    assert ours.shape == wanted.shape
    assert np.abs(ours - wanted).max() < 1e-4
    assert np.abs(np.roll(ours, 1, axis=1) - wanted).max() > 1e-2
