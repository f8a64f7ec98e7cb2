"""The objective descends: to numerical zero where student and teacher can agree, and on one batch always."""

from __future__ import annotations

import copy

import pytest
import torch

from objective_cases import one_thread
from streaming_wavlm.distill.objective import Objective
from streaming_wavlm.distill.objective_config import (
    LayerwiseConfig,
    ObjectiveConfig,
    PairConfig,
)
from streaming_wavlm.distill.teachers import (
    LogMelTeacher,
    ReferenceTeacher,
    SpeakerTeacher,
    TeacherSpec,
    WaveformTeacher,
    WhisperTeacher,
)
from teacher_models import speaker_tensors, waveform_model, whisper_encoder
from tiny import noise, tiny_config, tiny_model

# Where a causal student and the bidirectional reference are one function: convolutions that do not overlap
# need no padding on either side, a positional convolution of one frame looks neither way, with an unlimited
# chunk that is all lookahead every frame sees the whole recording, and whole hops leave the student no last
# partial frame.
SAME = {"kernel_sizes": (5, 2, 2, 2, 2, 2, 2), "conv_pos": 1, "window_size": 512}
WHOLE = 10_000
LENGTHS = torch.tensor([6400, 5120])
WAVS = noise(2, 6400)


@pytest.fixture(autouse=True)
def _single_threaded():
    with one_thread():
        yield


def reference(**changes):
    return tiny_model(seed=3, causal=False, front_pad="valid", **{**SAME, **changes})


def student_like(model, **changes):
    config = model.config.replace(
        causal=True, **{"front_pad": "kernel-stride", "lookahead_size": "chunk", "chunk_ms": WHOLE, **changes}
    )
    student = tiny_model(**{name: getattr(config, name) for name in config.field_names()})
    student.load_state_dict(model.state_dict())
    return student


def layerwise(student, teacher) -> Objective:
    config = ObjectiveConfig(layerwise=(LayerwiseConfig("r", student.config.num_layers),))
    return Objective(student.config, config, {"r": teacher.spec})


def loss_of(student, teacher, chunk_ms: int | None = None) -> torch.Tensor:
    output = student(WAVS, LENGTHS, chunk_ms=chunk_ms)
    return layerwise(student, teacher)(output, {"r": teacher(WAVS, LENGTHS)}).total


def test_the_same_weights_and_an_unlimited_chunk_give_numerical_zero() -> None:
    model = reference()
    teacher = ReferenceTeacher(copy.deepcopy(model), "r")
    with torch.no_grad():
        assert float(loss_of(student_like(model), teacher)) < 1e-24


@pytest.mark.parametrize(
    ("architecture", "causality"),
    [
        ({}, {"chunk_ms": 80}),
        ({}, {"lookahead_size": 3}),
        ({"conv_pos": 8}, {}),
        ({"kernel_sizes": (10, 3, 3, 3, 3, 2, 2)}, {}),
    ],
    ids=["a chunk", "a block", "the positional convolution", "the front-end"],
)
def test_each_cost_of_causality_alone_is_seen(architecture, causality) -> None:
    """The test above can fail: take away one of its conditions and the loss is far from zero."""
    model = reference(**architecture)
    teacher = ReferenceTeacher(copy.deepcopy(model), "r")
    with torch.no_grad():
        assert float(loss_of(student_like(model, **causality), teacher)) > 1e-5


def test_distilling_a_bidirectional_reference_drives_the_loss_to_numerical_zero() -> None:
    """The transformer disturbed, the loss falls by orders of magnitude, on audio never heard as well."""
    model = reference()
    teacher = ReferenceTeacher(copy.deepcopy(model), "r")
    student = student_like(model)
    learning = list(student.encoder.layers.parameters())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in learning:
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * 0.02)
    score = layerwise(student, teacher)
    wavs, fresh = noise(4, 6400), noise(4, 6400, seed=77)
    targets = {"r": teacher(wavs)}

    def unheard() -> float:
        with torch.no_grad():
            return float(score(student(fresh), {"r": teacher(fresh)}).total)

    losses, before = [], unheard()
    optimiser = torch.optim.LBFGS(
        learning, max_iter=200, history_size=40, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = score(student(wavs), targets).total
        loss.backward()
        losses.append(loss.item())
        return loss

    optimiser.step(closure)
    assert losses[0] > 1e-3
    assert losses[-1] < 1e-5
    assert unheard() < 1e-2 * before


def overfit(student, score, targets, wavs, steps: int = 120, lr: float = 1e-2) -> list[float]:
    optimiser = torch.optim.Adam([*student.parameters(), *score.parameters()], lr=lr)
    losses = []
    for _ in range(steps):
        loss = score(student(wavs, LENGTHS), targets).total
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return losses


TEACHERS = {
    "wavlm": lambda: WaveformTeacher(waveform_model("WavLM"), "t", normalize=True),
    "whisper": lambda: WhisperTeacher(whisper_encoder(), "t"),
    "speaker": lambda: SpeakerTeacher(speaker_tensors(), "t"),
    "logmel": lambda: LogMelTeacher("t", mels=8),
}


@pytest.mark.parametrize(
    ("teacher", "pair"),
    [
        ("wavlm", {"loss": "mse", "target_norm": "layer"}),
        ("wavlm", {"loss": "l1"}),
        ("wavlm", {"loss": "cosine"}),
        ("wavlm", {"loss": "l1_cosine"}),
        ("wavlm", {"loss": "gram", "window": 10}),
        ("wavlm", {"loss": "mse", "head": "linear", "target_norm": "instance", "shift": 1}),
        ("whisper", {"loss": "mse", "target_norm": "channel"}),
        ("whisper", {"loss": "mse", "target_norm": "layer_channel"}),
        ("whisper", {"loss": "units", "units": 8, "target_norm": "layer_channel"}),
        ("whisper", {"loss": "mse", "target_norm": "layer_channel", "target_pool": "mean_std"}),
        (
            "whisper",
            {"loss": "mse", "target_norm": "whiten", "target_pool": "mean_std", "components": 2},
        ),
        ("whisper", {"loss": "mse", "target_norm": "whiten", "components": 6}),
        ("whisper", {"loss": "units", "units": 8, "target_norm": "whiten", "components": 6}),
        ("logmel", {"loss": "mse"}),
        ("logmel", {"loss": "l1", "target_norm": "layer", "target_pool": "mean", "pool": "running_mean"}),
        ("speaker", {"loss": "cosine"}),
        ("speaker", {"loss": "mse", "pool": "mean"}),
        ("speaker", {"loss": "cosine", "pool": "running_mean_std"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_one_batch_can_be_learnt_by_heart(teacher, pair) -> None:
    model = TEACHERS[teacher]()
    wavs = WAVS.float()
    targets = {"t": model(wavs, LENGTHS)}
    student = tiny_model(dtype=torch.float32, front_pad="kernel-stride", dim=16).train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        score = Objective(student.config, ObjectiveConfig((PairConfig("t", 2, **pair),)), {"t": model.spec})
    score.measure(targets)
    score.fit_norms()
    if score.needs_codebooks:
        score.sample(targets)
        score.fit_codebooks()
    losses = overfit(student, score, targets, wavs)
    assert losses[-1] < 0.05 * losses[0]


def test_under_autocast_the_losses_are_float32() -> None:
    teacher = LogMelTeacher("t", mels=8)
    student = tiny_model(dtype=torch.float32)
    config = ObjectiveConfig((PairConfig("t", 2), PairConfig("v", 1, loss="cosine")))
    voice = SpeakerTeacher(speaker_tensors(), "v")
    score = Objective(tiny_config(), config, {"t": teacher.spec, "v": TeacherSpec(6, 1, None)})
    wavs = WAVS.float()
    given = {"t": teacher(wavs, LENGTHS), "v": voice(wavs, LENGTHS)}
    exact = score(student(wavs, LENGTHS), given).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        report = score(student(wavs, LENGTHS), given)
    report.total.backward()
    assert report.total.dtype == torch.float32
    assert float(report.total) == pytest.approx(float(exact), rel=0.05)
