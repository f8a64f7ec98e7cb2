"""A student's output and three teachers' targets, made up, for tests of the objective."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from streaming_wavlm.distill.geometry import FrameGeometry
from streaming_wavlm.distill.objective import Objective
from streaming_wavlm.distill.objective_config import ObjectiveConfig, PairConfig
from streaming_wavlm.distill.teachers import Targets, TeacherSpec
from streaming_wavlm.output import WavLMOutput
from tiny import noise, tiny_config

STUDENT = tiny_config(front_pad="kernel-stride")
OFFLINE = FrameGeometry(0, 320, 400)
SPECS = {
    "a": TeacherSpec(16, 3, OFFLINE),
    "b": TeacherSpec(5, 2, FrameGeometry(-240, 160, 400)),
    "voice": TeacherSpec(4, 1, None),
}
LENGTHS = torch.tensor([9, 6])


def output(seed: int = 0) -> WavLMOutput:
    present = (torch.arange(9) < LENGTHS[:, None])[:, :, None]
    return WavLMOutput(tuple(noise(2, 9, 16, seed=seed + layer) * present for layer in (10, 11)), LENGTHS)


def targets(seed: int = 0) -> dict[str, Targets]:
    layers = tuple(noise(2, 8, 16, seed=seed + k) for k in range(4))
    return {
        "a": Targets(layers, LENGTHS - 1, OFFLINE, (0, 1, 2, 3)),
        "b": Targets((noise(2, 19, 5, seed=seed + 5),), LENGTHS * 2, SPECS["b"].geometry, (2,)),
        "voice": Targets((noise(2, 1, 4, seed=seed + 6),), torch.tensor([1, 1]), None, (1,)),
    }


def objective(*pairs: PairConfig, seed: int = 0, **config) -> Objective:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Objective(STUDENT, ObjectiveConfig(pairs, **config), SPECS).double()


A = PairConfig("a", 2, 3)
B = PairConfig("b", 1, 2, loss="l1_cosine", weight=0.5)
VOICE = PairConfig("voice", -1, loss="cosine", weight=2.0)


@contextmanager
def one_thread() -> Iterator[None]:
    """Models this small only wait for a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
