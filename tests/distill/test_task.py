from __future__ import annotations

import pytest
import torch

from streaming_wavlm.data import Batch
from streaming_wavlm.distill.recipe import SELF
from streaming_wavlm.distill.task import Teachers
from tiny import noise, tiny_model


@pytest.mark.parametrize("training", [True, False])
def test_a_student_teaches_itself_without_dropout_and_is_left_as_it_was(training: bool) -> None:
    student = tiny_model(dtype=torch.float32, dropout=0.5).train(training)
    batch = Batch(noise(1, 6400, dtype=torch.float32), torch.tensor([6400]))
    targets = Teachers({}, student, self_layers=(2,)).teach(batch)
    assert student.training == training
    assert all(module.training == training for module in student.modules())
    whole = student.eval()(batch.wavs, batch.lengths, chunk_ms=400).hidden_states[1]
    assert isinstance(targets, dict)
    torch.testing.assert_close(targets[SELF].hidden_states[0], whole.detach())
