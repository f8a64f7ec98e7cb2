"""What takes the place of two libraries, and only while they are asked for and not there."""

from __future__ import annotations

import importlib.util
import sys

import pytest
import torch
from fakes import put
from torch.utils.data import WeightedRandomSampler

from streaming_wavlm.errors import MissingDependencyError
from streaming_wavlm.superb import compat, stand_ins
from streaming_wavlm.superb.stand_ins import DistributedSamplerWrapper, Transformer, standing_in


def test_a_module_that_is_not_installed_stands_in_for_a_moment() -> None:
    with standing_in("no_such.package.here", Thing=int):
        from no_such.package.here import Thing  # type: ignore[import-not-found]

        assert Thing is int
    assert [name for name in sys.modules if name.startswith("no_such")] == []


def test_a_module_that_is_installed_stays_what_it_is() -> None:
    with standing_in("json.decoder", JSONDecoder=None):
        from json.decoder import JSONDecoder

        assert JSONDecoder is not None


def test_processes_share_what_a_sampler_draws() -> None:
    class Drawn(WeightedRandomSampler):
        def __iter__(self):
            return iter([4, 4, 1, 0, 2, 2])

    sampler = Drawn(torch.ones(6), 6)
    shares = [list(DistributedSamplerWrapper(sampler, num_replicas=2, rank=rank)) for rank in (0, 1)]
    assert shares == [[4, 1, 2], [4, 0, 2]]
    assert len(DistributedSamplerWrapper(sampler, num_replicas=4, rank=0)) == 2


def test_the_unused_class_says_what_it_lacks_when_it_is_used() -> None:
    with pytest.raises(MissingDependencyError, match="pip install sox"):
        Transformer()


@pytest.mark.parametrize(
    ("module", "library", "name"),
    [
        ("s3prl.downstream.speech_commands.expert", "catalyst", "DistributedSamplerWrapper"),
        ("s3prl.downstream.sv_voxceleb1.dataset", "sox", "Transformer"),
    ],
)
def test_s3prls_modules_load_without_them(module, library, name, monkeypatch) -> None:
    for loaded in [key for key in sys.modules if key.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, loaded)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda wanted: None if wanted == library else find(wanted)
    )
    made = put(monkeypatch, "fake_module", Parallel=dict)

    def execute() -> None:
        path = "catalyst.data.sampler" if library == "catalyst" else library
        made.found = getattr(importlib.import_module(path), name)

    compat.REPAIRS[module](made, execute)
    assert made.found is getattr(stand_ins, name)
    assert library not in sys.modules
