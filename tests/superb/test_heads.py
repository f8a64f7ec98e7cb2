from __future__ import annotations

import pytest
import torch
from head_experts import DIM, FRAMEWISE, POOLED, TASKS, config_of, expert_of, say, train_step

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb import heads

pytestmark = pytest.mark.usefixtures("hub")
LOOKS_AHEAD = [task for task in TASKS if task not in FRAMEWISE]


@pytest.fixture
def head(tmp_path, monkeypatch):
    """Build a task's expert with one kind of heads."""

    def build(task, kind, **changes):
        if task == "diarization":
            pytest.importorskip("h5py")
        if task.endswith("_stft"):
            pytest.importorskip("asteroid")
        config = heads.use(kind, task, config_of(task, tmp_path))
        return expert_of(task, config, tmp_path, monkeypatch, **changes)

    return build


def future_changes(task, expert, frames=40):
    """How much what is said up to a frame changes with what comes after it, and what is said later."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(frames, DIM, generator=generator, dtype=torch.float64)
    early = late = 0.0
    with torch.no_grad():
        before = say(task, expert, features)
        for t in (0, 3, 17, frames - 2):
            changed = features.clone()
            changed[t + 1 :] = 3 * torch.randn(frames - t - 1, DIM, generator=generator, dtype=torch.float64)
            difference = (say(task, expert, changed) - before).abs()
            early = max(early, float(difference[: t + 1].max()))
            late = max(late, float(difference[t + 1 :].max()))
    return early, late


@pytest.mark.parametrize("task", TASKS)
def test_nothing_a_causal_head_says_depends_on_later_frames(task, head) -> None:
    early, late = future_changes(task, head(task, "causal"))
    assert early < 1e-12
    assert late > 1e-3


@pytest.mark.parametrize("task", LOOKS_AHEAD)
def test_the_same_check_finds_what_a_published_head_hears_ahead(task, head) -> None:
    early, _ = future_changes(task, head(task, "published"))
    assert early > 1e-3


@pytest.mark.parametrize("task", FRAMEWISE)
def test_two_published_heads_are_causal_already(task, head) -> None:
    early, late = future_changes(task, head(task, "published"))
    assert early < 1e-12
    assert late > 1e-3


@pytest.mark.parametrize("task", TASKS)
def test_one_step_of_training_gives_finite_gradients_everywhere(task, head) -> None:
    expert = head(task, "causal")
    torch.manual_seed(0)
    features = [torch.randn(n, DIM, dtype=torch.float64) for n in (60, 41, 33, 30)]
    loss = train_step(task, expert, features)
    loss.backward()
    assert torch.isfinite(loss)
    gradients = {name: parameter.grad for name, parameter in expert.named_parameters()}
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients.values())
    assert all(gradient.abs().sum() > 0 for name, gradient in gradients.items() if name.endswith("weight"))


@pytest.mark.parametrize("task", LOOKS_AHEAD)
@pytest.mark.parametrize(("trained", "loaded"), [("published", "causal"), ("causal", "published")])
def test_parameters_of_one_kind_do_not_load_into_the_other(task, trained, loaded, head) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)state_dict.*(causal|size mismatch)"):
        head(task, loaded).load_state_dict(head(task, trained).state_dict())


@pytest.mark.parametrize("task", POOLED[:-1])
def test_at_its_end_a_running_mean_says_what_the_mean_of_the_utterance_says(task, head) -> None:
    published, causal = head(task, "published"), head(task, "causal")
    weights = published.state_dict() | {"model.pooling.causal": torch.ones(())}
    causal.load_state_dict(weights)
    features = torch.randn(33, DIM, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(say(task, causal, features)[-1], say(task, published, features)[-1], atol=1e-12)


@pytest.mark.parametrize("task", POOLED)
def test_pooling_does_not_hear_the_padding_of_its_batch(task, head) -> None:
    expert = head(task, "causal")
    short, long = torch.randn(20, DIM, dtype=torch.float64), torch.randn(50, DIM, dtype=torch.float64)
    padded = torch.nn.utils.rnn.pad_sequence([short, long], batch_first=True)
    with torch.no_grad():
        if task == "sv_voxceleb1":
            mask = torch.zeros(2, 50)
            mask[0, 20:] = -100000.0
            together = expert.model.inference(expert.connector(padded), mask)
        else:
            together = expert.model(expert.projector(padded), torch.tensor([20, 50]))[0]
        for row, features in enumerate((short, long)):
            assert torch.allclose(together[row], say(task, expert, features)[-1], atol=1e-9)


def test_a_published_head_decides_nothing_before_the_end(head) -> None:
    expert = head("voxceleb1", "published")
    with pytest.raises(SuperbError, match=r"decides nothing before the end.*--heads causal"):
        heads.decisions(expert.model, torch.zeros(1, 5, 16))
