"""kill -9 at random moments: the run that goes on gives what an undisturbed one gives."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import streaming_wavlm as sw
from lab import make_corpus, toy_recipe
from processes import finish, start
from streaming_wavlm.distill.trainer import Trainer

SETTINGS: dict[str, Any] = {
    "steps": 40,
    "validation": {"every": 7},
    "checkpoints": {"every": 3, "keep": 2},
    "data": {"workers": 1},
}


def run(root: Path, out: Path) -> None:
    Trainer(toy_recipe(root, out, **SETTINGS), progress=False).run()


def steps_done(out: Path) -> int:
    log = out / "train.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


def wait_for_steps(process: Any, out: Path, before: int) -> None:
    until = time.monotonic() + 60
    while process.is_alive() and steps_done(out) <= before and time.monotonic() < until:
        time.sleep(0.005)


def killed_at_random(root: Path, out: Path, kills: int, seed: int) -> list[int]:
    """Run it again and again, each time killed at a random moment, then to the end; the steps it had done."""
    chance = random.Random(seed)
    reached = []
    for _ in range(kills):
        process = start(run, root, out)
        if chance.random() < 0.2:
            time.sleep(chance.uniform(0.0, 0.5))  # while it starts
        else:
            wait_for_steps(process, out, reached[-1] if reached else 0)
            time.sleep(chance.uniform(0.0, 0.2))  # while it trains, writes or measures
        process.kill()
        process.join()
        reached.append(steps_done(out))
    finish([start(run, root, out)])
    return reached


def check(tmp_path: Path, kills: int, seed: int) -> None:
    make_corpus(tmp_path)
    finish([start(run, tmp_path, tmp_path / "whole")])
    reached = killed_at_random(tmp_path, tmp_path / "killed", kills, seed)
    assert any(0 < step < SETTINGS["steps"] for step in reached), reached
    whole, killed = (sw.load(tmp_path / name / "final").state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    for name in ("train.jsonl", "validation.jsonl"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "killed" / name).read_text()
    names = {path.name for path in (tmp_path / "killed").rglob("*")}
    assert not {name for name in names if name.endswith((".tmp", ".new", ".old"))}


def test_three_kills_change_nothing(tmp_path: Path) -> None:
    check(tmp_path, kills=3, seed=1)


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    check(tmp_path, kills=20, seed=2)
