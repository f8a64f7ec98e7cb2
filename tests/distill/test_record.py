from __future__ import annotations

import errno
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from streaming_wavlm.distill.errors import TrainingError
from streaming_wavlm.distill.ledger import Ledger
from streaming_wavlm.distill.progress import Progress, duration
from streaming_wavlm.distill.record import Recorder
from streaming_wavlm.errors import MissingDependencyError


def test_what_was_told_past_the_last_checkpoint_is_forgotten(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 0, None, {})
    for step in range(1, 6):
        recorder.train(step, {"loss": float(step)})
    recorder.close()
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # killed while it wrote
    again = Recorder(tmp_path, 3, None, {})
    again.train(4, {"loss": 0.5})
    again.close()
    lines = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 0.5)]


def test_curves_are_written_for_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recorder = Recorder(tmp_path, 0, None, {})
    recorder.train(1, {"loss": 2.0})
    recorder.validation(1, {"score": 1.0}, {"cosine/mel/200": 0.25})
    recorder.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("train/loss")] == [2.0]
    assert [event.value for event in events.Scalars("cosine/mel/200")] == [0.25]


def test_weights_and_biases_is_told_where_it_is_wished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "wandb", None)
        with pytest.raises(MissingDependencyError, match=r"streaming-wavlm\[wandb\]"):
            Recorder(tmp_path, 0, "project", {})
    told: list[Any] = []
    fake = types.SimpleNamespace(
        init=lambda **settings: told.append(settings) or fake,
        log=lambda values, step: told.append((step, values)),
        finish=lambda: told.append("finish"),
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    recorder = Recorder(tmp_path, 0, "project", {"seed": 3})
    recorder.train(1, {"loss": 2.0})
    recorder.close()
    assert (told[0]["project"], told[0]["resume"], told[0]["config"]) == ("project", "allow", {"seed": 3})
    assert told[1:] == [(1, {"train/loss": 2.0}), "finish"]


def test_every_run_has_an_id_of_its_own_and_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    fake = types.SimpleNamespace(init=lambda **settings: told.append(settings) or fake, finish=lambda: None)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    (tmp_path / "old" / "encoder" / "wandb").mkdir(parents=True)  # logged by an old version
    folders = [tmp_path / name / "encoder" for name in ("one", "two", "one", "old")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        Recorder(folder, 0, "project", {}).close()
    one, two, again, old = (settings["id"] for settings in told)
    assert one == again
    assert len({one, two, "encoder"}) == 3
    assert old == "encoder"
    assert [settings["name"] for settings in told] == [
        "one/encoder", "two/encoder", "one/encoder", "old/encoder"
    ]  # fmt: skip


def test_a_score_that_is_no_number_is_never_the_best() -> None:
    ledger = Ledger(step=1)
    assert not ledger.is_best(float("nan"))
    assert ledger.is_best(2.0)
    assert not ledger.is_best(2.0)
    assert ledger.is_best(1.0)
    assert not ledger.is_best(float("nan"))
    assert (ledger.best_score, ledger.best_step) == (1.0, 1)


def test_a_point_of_a_curve_is_the_mean_over_its_steps_and_survives_a_restart() -> None:
    ledger = Ledger()
    ledger.add({"loss": 1.0})
    restored = Ledger.restored(ledger.state())
    restored.add({"loss": 3.0})
    assert restored.take_point() == {"loss": 2.0}
    assert restored.take_point() == {}


def test_progress_without_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("toy", 3) as progress:
        progress.advance(1, 7200.0, {"loss": 0.5})
        progress.advance(2, 7200.0, {"loss": 0.4})  # not yet time for a line
        progress.advance(3, 7200.0, {"loss": 0.3})
        progress.say("measured")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("toy: step 1 of 3, loss 0.5, ")
    assert lines[1].startswith("toy: step 3 of 3, loss 0.3, ")
    assert lines[2] == "measured"
    assert "h/h" in lines[0]
    assert duration(3725) == "1:02:05"
    with Progress("toy", 3, shown=False) as silent:
        silent.advance(1, 1.0, {})
        silent.say("nothing")
    assert capsys.readouterr().err == ""


def on_a_full_disk(recorder: Recorder, left: str = "") -> Recorder:
    """Let a file of a recorder be one that takes nothing, and have something left to write."""
    recorder._files["train.jsonl"].close()
    file = Path("/dev/full").open("a")  # noqa: SIM115  (the recorder closes it)
    recorder._files["train.jsonl"] = recorder._opened.enter_context(file)
    file.write(left)
    return recorder


def ended_by(recorder: Recorder, error: Exception) -> None:
    with recorder:
        raise error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_once_and_clearly_and_everything_is_closed(tmp_path: Path) -> None:
    recorder = on_a_full_disk(Recorder(tmp_path, 0, None, {}))
    with pytest.raises(TrainingError, match=r"the disk is full.*train\.jsonl"), recorder:
        recorder.train(1, {"loss": 1.0})
    assert all(file.closed for file in recorder._files.values())
    with pytest.raises(KeyError):
        ended_by(on_a_full_disk(Recorder(tmp_path, 0, None, {}), "left over"), KeyError())
    recorder = on_a_full_disk(Recorder(tmp_path, 0, None, {}), "left over")
    with pytest.raises(TrainingError, match="the disk is full"):
        recorder.close()
    assert all(file.closed for file in recorder._files.values())


def test_curves_that_cannot_be_written_are_told_clearly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Recorder(tmp_path, 0, None, {}) as recorder:
        monkeypatch.setattr(recorder._board, "add_scalar", full)
        with pytest.raises(TrainingError, match="the disk is full"):
            recorder.speed(1, 2.0)
    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", full)
    with pytest.raises(TrainingError, match="the disk is full"):
        Recorder(tmp_path, 0, None, {})
