"""A tiny checkpoint, a tiny corpus, and S3PRL behind the compatibility layer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

import streaming_wavlm
from tiny import TINY, tiny_model

SOURCE = Path(streaming_wavlm.__file__).parents[1]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare state dict of a tiny model, without a config."""
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.pt"
    torch.save(tiny_model(dtype=torch.float32).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def model_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What that state dict cannot say."""
    path = tmp_path_factory.mktemp("config") / "model.yaml"
    fields = {"max_distance": TINY["max_distance"], "window_size": 16}
    path.write_text(yaml.safe_dump({"wavlm": fields}))
    return path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers, each a tone, in VoxCeleb1's layout, with a config of a few steps."""
    folder = tmp_path_factory.mktemp("voxceleb1")
    rng = np.random.default_rng(0)
    lines = []
    for speaker, pitch in ((10001, 200), (10002, 900)):
        for i, split in enumerate((1, 1, 1, 1, 2, 3)):
            name = f"id{speaker}/video/{i}.wav"
            path = folder / ("test" if split == 3 else "dev") / "wav" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            seconds = np.arange(4000 + 320 * i) / 16000
            tone = 0.3 * np.sin(2 * np.pi * pitch * seconds) + 0.01 * rng.standard_normal(len(seconds))
            soundfile.write(path, tone, 16000, subtype="PCM_16")
            lines.append(f"{split} {name}")
    (folder / "veri_test_class.txt").write_text("\n".join(lines) + "\n")
    config = yaml.safe_load((SOURCE / "streaming_wavlm/superb/configs/mini/voxceleb1.yaml").read_text())
    config["runner"] |= {"total_steps": 4, "log_step": 2, "eval_step": 2, "save_step": 2}
    config["downstream_expert"]["datarc"] |= {
        "file_path": str(folder),
        "meta_data": str(folder / "veri_test_class.txt"),
        "train_batch_size": 4,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="session")
def hub() -> ModuleType:
    """S3PRL's hub with our upstreams on it."""
    pytest.importorskip("s3prl")
    pytest.importorskip("transformers")
    from streaming_wavlm.superb import register

    register()
    return sys.modules["s3prl.hub"]


@pytest.fixture
def python() -> Callable[..., Any]:
    """Run a program in a fresh Python that finds this package, and return the JSON that it prints last."""

    def run(program: str, *path: Path, env: Mapping[str, str] | None = None) -> Any:
        search = os.pathsep.join([*map(str, path), str(SOURCE)])
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": search, "OMP_NUM_THREADS": "1", **(env or {})},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
