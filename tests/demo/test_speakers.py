"""The demo's speaker identification: what it asks S3PRL for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streaming_wavlm.demo.speakers import BASELINES, STREAMING, identify_speakers


def test_all_upstreams_get_the_same_task_and_only_ours_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, dict[str, Any]]] = []

    def run_task(task: str, upstream: str, **options: Any) -> Any:
        asked.append((task, upstream, options))
        return SimpleNamespace(score=0.5, train_seconds=1.0, evaluate_seconds=2.0)

    def prepare(folder: Path) -> Any:
        return SimpleNamespace(config=folder / "config.yaml", chance=0.25)

    monkeypatch.setattr("streaming_wavlm.superb.run.run_task", run_task)
    monkeypatch.setattr("streaming_wavlm.superb.prepare.prepare_voxceleb1", prepare)
    (tmp_path / STREAMING).mkdir()
    (tmp_path / STREAMING / "states-300.ckpt").touch()
    scores = list(identify_speakers(tmp_path, "mini", 7))
    assert [(score.upstream, score.accuracy, score.chance, score.seconds) for score in scores] == [
        (upstream, 0.5, 0.25, 3.0) for upstream in (STREAMING, *BASELINES)
    ]
    assert [options["ckpt"] for _, _, options in asked] == ["mini", None, None]
    for task, _, options in asked:
        assert task == "voxceleb1"
        assert options["config"] == tmp_path / "corpus/config.yaml"
        assert set(options["override"].values()) == {7}
    assert not (tmp_path / STREAMING).exists()  # an old experiment must not be gone on with


@pytest.mark.slow
def test_it_runs_to_the_end_on_the_embedded_speech(tmp_path: Path) -> None:
    pytest.importorskip("s3prl")
    scores = list(identify_speakers(tmp_path, "mini", 2))
    assert [score.upstream for score in scores] == [STREAMING, *BASELINES]
    assert all(0 <= score.accuracy <= 1 for score in scores)
