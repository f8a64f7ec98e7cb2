from __future__ import annotations

from pathlib import Path

import pytest
import torch

from offline_models import huggingface_model
from streaming_wavlm.distill.objective_config import ObjectiveConfig, PairConfig, PositionalConfig
from streaming_wavlm.distill.settings import StudentSettings
from streaming_wavlm.distill.student import build_student, freeze, prepare_student, scratch_student, unreached
from streaming_wavlm.errors import CheckpointError, ConfigError
from tiny import TINY, noise, tiny_config, tiny_model, worst

LAST = ObjectiveConfig(pairs=(PairConfig("t", -1),))
FIELDS = {key: list(value) if isinstance(value, tuple) else value for key, value in TINY.items()}


def learning(student: torch.nn.Module) -> set[str]:
    return {name for name, weight in student.named_parameters() if weight.requires_grad}


def test_a_start_from_scratch_is_decided_by_its_seed() -> None:
    torch.manual_seed(1)
    settings = StudentSettings(config=FIELDS)
    one, same, other = (build_student(settings, seed) for seed in (1, 1, 2))
    weights = [torch.cat([p.flatten() for p in m.parameters()]) for m in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert one.provenance == {"weights": "random", "seed": 1}


def test_digital_silence_does_not_explode_the_first_gradient() -> None:
    # With norm biases of zero, a pause of exact zeros would give gradients of 1e15.
    student = scratch_student(tiny_config(hidden_dims=(32,) * 7, dim=32, lookahead_size="chunk"))
    wavs = noise(2, 16_000, dtype=torch.float32)
    wavs[:, 4000:12_000] = 0
    norms = []
    for batch in (noise(2, 16_000, dtype=torch.float32), wavs):
        student.zero_grad()
        sum((hidden - 1).square().mean() for hidden in student(batch).hidden_states).backward()
        norms.append(torch.stack([p.grad.norm() for p in student.parameters()]).norm())
    assert norms[1] < 10 * norms[0]


def test_a_start_from_a_checkpoint_takes_its_weights_and_the_fields_given(tmp_path: Path) -> None:
    saved = tiny_model(dtype=torch.float32, chunk_ms=400)
    saved.save_pretrained(tmp_path)
    settings = StudentSettings(
        "checkpoint", str(tmp_path), config={"lookahead_size": "chunk", "chunk_ms": 200}
    )
    student = build_student(settings)
    assert (student.config.lookahead_size, student.config.chunk_ms) == ("chunk", 200)
    assert worst(student.state_dict().values(), saved.state_dict().values()) == 0
    with pytest.raises(CheckpointError):
        build_student(StudentSettings("checkpoint", str(tmp_path), config={"dim": 32}))


def test_a_start_from_an_offline_wavlm_takes_its_first_layers(tmp_path: Path) -> None:
    offline = huggingface_model()
    offline.save_pretrained(tmp_path)
    settings = StudentSettings(
        "convert", str(tmp_path), num_layers=1, config={"lookahead_size": "chunk", "front_pad": "kernel-1"}
    )
    student = build_student(settings)
    assert student.config.causal
    assert student.config.num_layers == 1
    assert (student.config.lookahead_size, student.config.front_pad) == ("chunk", "kernel-1")
    ours = student.encoder.layers[0].feed_forward.in_proj.weight
    theirs = offline.encoder.layers[0].feed_forward.intermediate_dense.weight
    assert torch.equal(ours, theirs)
    with pytest.raises(ConfigError, match="shape of the weights"):
        build_student(StudentSettings("convert", str(tmp_path), config={"ffn_dim": 24}))


def test_a_bidirectional_student_is_refused_wherever_it_comes_from(tmp_path: Path) -> None:
    tiny_model(causal=False, front_pad="valid", dtype=torch.float32).save_pretrained(tmp_path / "final")
    huggingface_model().save_pretrained(tmp_path / "offline")
    both = {"causal": False, "front_pad": "valid"}
    for settings in (
        StudentSettings("checkpoint", str(tmp_path / "final")),
        StudentSettings("run", str(tmp_path)),
        StudentSettings("convert", str(tmp_path / "offline"), config=both),
        StudentSettings("scratch", config={**FIELDS, **both}),
    ):
        with pytest.raises(ConfigError, match=r"a student is causal"):
            build_student(settings)


def test_a_source_is_needed_where_one_is_read() -> None:
    with pytest.raises(ConfigError, match=r"needs student\.source"):
        build_student(StudentSettings("checkpoint"))
    with pytest.raises(ConfigError, match="neither source nor num_layers"):
        StudentSettings("scratch", "x")


def test_patterns_freeze_what_they_match_and_nothing_else() -> None:
    student = tiny_model()
    frozen = freeze(student, ["encoder.relative_embedding.*", "feature_extractor.layers.[01].*"])
    assert frozen == tuple(
        name
        for name, _ in student.named_parameters()
        if name.startswith(("encoder.relative", "feature_extractor.layers.0", "feature_extractor.layers.1"))
    )
    assert learning(student) == {name for name, _ in student.named_parameters()} - set(frozen)


def test_a_pattern_that_matches_nothing_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'encoder\.relative_embedding\.weight'"):
        freeze(tiny_model(), ["encoder.relativ_embedding.weight"])
    with pytest.raises(ConfigError, match="nothing to learn"):
        freeze(tiny_model(), ["*"])


def test_what_an_objective_cannot_reach_does_not_learn(caplog: pytest.LogCaptureFixture) -> None:
    student = tiny_model(num_layers=3)
    assert unreached(student, LAST) == []
    first = ObjectiveConfig(pairs=(PairConfig("t", 1), PairConfig("t", -2)))
    prepare_student(student, first, ())
    assert {name for name in dict(student.named_parameters()) if name not in learning(student)} == {
        name for name, _ in student.named_parameters() if name.startswith("encoder.layers.2.")
    }
    assert "last layers" in caplog.text


def test_the_positional_stage_teaches_the_positional_convolution_alone() -> None:
    student = tiny_model()
    prepare_student(student, ObjectiveConfig(positional=PositionalConfig("t")), ())
    assert learning(student) == {f"encoder.positional_embedding.conv.{kind}" for kind in ("weight", "bias")}
    prepare_student(student, LAST, ("norm.*",))  # a later stage switches the rest on again
    assert learning(student) == {name for name, _ in student.named_parameters()} - {
        "norm.weight",
        "norm.bias",
    }
