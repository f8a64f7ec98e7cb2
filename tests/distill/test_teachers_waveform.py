"""WavLM, HuBERT and wav2vec 2.0 as teachers, held against transformers itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from offline_models import import_transformers
from streaming_wavlm.distill.geometry import FrameGeometry
from streaming_wavlm.distill.teachers import TeacherConfig, WaveformTeacher, build
from streaming_wavlm.errors import (
    CheckpointMismatchError,
    CheckpointNotFoundError,
    ConfigError,
    InputError,
    UnsupportedCheckpointError,
)
from teacher_models import BASE_KIND, FAMILIES, saved, waveform_model, whisper_encoder
from tiny import noise, worst

LENGTHS = torch.tensor([8000, 5437, 1200])
WAVS = noise(3, 8000, dtype=torch.float32) + 0.05
ROWS = [wav[:n] for wav, n in zip(WAVS, LENGTHS.tolist(), strict=True)]
FRAMES = [24, 16, 3]


def theirs(
    model: torch.nn.Module, samples: torch.Tensor, mask: torch.Tensor | None = None
) -> list[torch.Tensor]:
    with torch.no_grad():
        out = model(samples, attention_mask=mask, output_hidden_states=True)
    return [*out.hidden_states[:-1], out.last_hidden_state]


def zero_mean_unit_variance(wav: torch.Tensor) -> torch.Tensor:
    values = wav.numpy()
    return torch.from_numpy((values - values.mean()) / np.sqrt(values.var() + 1e-7))


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("kind", [{}, BASE_KIND], ids=["layer norm", "group norm"])
@pytest.mark.parametrize("family", FAMILIES)
def test_targets_in_a_batch_are_those_of_transformers_alone(family, kind, normalize) -> None:
    model = waveform_model(family, **kind)
    wanted = [theirs(model, (zero_mean_unit_variance(row) if normalize else row)[None]) for row in ROWS]
    targets = WaveformTeacher(model, "t", normalize=normalize)(WAVS, LENGTHS)
    assert targets.layers == (0, 1, 2, 3)
    assert targets.lengths.tolist() == FRAMES
    assert targets.geometry == FrameGeometry(0, 320, 400)
    for row, frames in enumerate(FRAMES):
        assert worst([h[row : row + 1, :frames] for h in targets.hidden_states], wanted[row]) < 2e-5
        assert all(h[row, frames:].abs().sum() == 0 for h in targets.hidden_states)


def test_a_padded_batch_is_what_transformers_documents_for_layer_norm_models() -> None:
    """Its own feature extractor, with an attention mask."""
    model = waveform_model("WavLM")
    extractor = import_transformers().Wav2Vec2FeatureExtractor(return_attention_mask=True, do_normalize=True)
    inputs = extractor([row.numpy() for row in ROWS], sampling_rate=16_000, padding=True, return_tensors="pt")
    wanted = theirs(model, inputs["input_values"], inputs["attention_mask"])
    targets = WaveformTeacher(model, "t", normalize=True)(WAVS, LENGTHS)
    for row, frames in enumerate(FRAMES):
        ours = [h[row, :frames] for h in targets.hidden_states]
        assert worst(ours, [h[row, :frames] for h in wanted]) < 2e-5


@pytest.mark.parametrize(
    "changes", [BASE_KIND, {"conv_pos_batch_norm": True}], ids=["group norm", "batch norm"]
)
def test_a_mask_would_not_be_enough_for_every_model(changes) -> None:
    """The tests above can fail: with a mask alone, padding leaks into these models."""
    model = waveform_model("Hubert", **changes)
    teacher = WaveformTeacher(model, "t", normalize=True)
    alone = teacher(WAVS, LENGTHS)
    assert not teacher.masks
    teacher.masks = True
    masked = teacher(WAVS, LENGTHS)
    assert worst(*([h[1, :16] for h in t.hidden_states] for t in (alone, masked))) > 1e-3


def test_normalisation_is_the_teachers_alone() -> None:
    wavs = WAVS.clone()
    teacher = WaveformTeacher(waveform_model("WavLM"), "t", normalize=True)
    before = teacher(wavs, LENGTHS)
    assert torch.equal(wavs, WAVS)
    louder = teacher(wavs * 3 + 0.2, LENGTHS)
    assert worst(before.hidden_states, louder.hidden_states) < 1e-3
    raw = WaveformTeacher(waveform_model("WavLM"), "t", normalize=False)
    assert worst(raw(wavs, LENGTHS).hidden_states, raw(wavs * 3 + 0.2, LENGTHS).hidden_states) > 1e-2


def test_what_lies_past_a_rows_end_is_never_heard() -> None:
    teacher = WaveformTeacher(waveform_model("WavLM"), "t", normalize=True)
    present = torch.arange(8000) < LENGTHS[:, None]
    garbage = torch.where(present, WAVS, torch.nan)
    assert worst(teacher(garbage, LENGTHS).hidden_states, teacher(WAVS, LENGTHS).hidden_states) == 0


def test_layers_below_the_last_cost_nothing_of_those_above() -> None:
    whole = WaveformTeacher(waveform_model("WavLM"), "t", normalize=False)(WAVS, LENGTHS)
    teacher = WaveformTeacher(waveform_model("WavLM"), "t", normalize=False, layers=(2, 1, -2))
    assert len(teacher.model.encoder.layers) == 2
    assert teacher.spec.num_layers == 3
    targets = teacher(WAVS, LENGTHS)
    assert targets.layers == (1, 2)
    assert worst(targets.hidden_states, whole.hidden_states[1:3]) == 0
    assert torch.equal(targets.layer(2), whole.layer(2))
    with pytest.raises(InputError, match="layer 3 is not among the targets"):
        targets.layer(3)


@pytest.mark.parametrize("kind", [{}, BASE_KIND], ids=["layer norm", "group norm"])
@pytest.mark.parametrize("lengths", [[8000, 399, 0], [200, 0, 1]])
def test_a_row_too_short_for_a_frame_has_none_and_harms_no_other(kind, lengths) -> None:
    teacher = WaveformTeacher(waveform_model("WavLM", **kind), "t", normalize=True)
    lengths = torch.tensor(lengths)
    targets = teacher(WAVS[:, : int(lengths.max())], lengths)
    assert targets.lengths.tolist() == [24 if n == 8000 else 0 for n in lengths.tolist()]
    alone = teacher(WAVS[:1]).hidden_states
    if lengths[0] == 8000:
        assert worst([h[:1] for h in targets.hidden_states], alone) < 2e-5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", [{}, BASE_KIND], ids=["layer norm", "group norm"])
def test_positional_targets_are_what_the_model_itself_computes(family, kind) -> None:
    model = waveform_model(family, **kind)
    teacher = WaveformTeacher(model, "t", normalize=True)
    found = teacher.positional(WAVS, LENGTHS)
    seen = []
    hook = model.encoder.pos_conv_embed.register_forward_hook(
        lambda _m, args, out: seen.append((args[0], out))
    )
    for row, frames in enumerate(FRAMES):
        seen.clear()
        teacher(WAVS[row : row + 1, : LENGTHS[row]])
        ours = (found.inputs[row : row + 1, :frames], found.outputs[row : row + 1, :frames])
        assert worst(ours, seen[0]) < 1e-5
    hook.remove()
    assert found.lengths.tolist() == FRAMES


def test_a_teacher_stays_frozen_and_in_eval_mode() -> None:
    teacher = WaveformTeacher(waveform_model("WavLM", hidden_dropout=0.5), "t", normalize=True)
    torch.nn.Sequential(teacher).train()
    assert not any(module.training for module in teacher.modules())
    wavs = WAVS.clone().requires_grad_()
    assert not any(h.requires_grad for h in teacher(wavs, LENGTHS).hidden_states)
    assert not any(p.requires_grad for p in teacher.parameters())


def test_autocast_around_a_teacher_does_not_change_it() -> None:
    teacher = WaveformTeacher(waveform_model("WavLM"), "t", normalize=True)
    plain = teacher(WAVS, LENGTHS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert worst(teacher(WAVS, LENGTHS).hidden_states, plain.hidden_states) == 0


def test_a_teacher_in_bfloat16_says_about_the_same(tmp_path) -> None:
    source = saved(waveform_model("WavLM"), tmp_path, do_normalize=True)
    exact = build(TeacherConfig("t", source=source))(WAVS, LENGTHS)
    short = build(TeacherConfig("t", source=source, dtype="bfloat16"))(WAVS, LENGTHS)
    for ours, wanted in zip(short.hidden_states, exact.hidden_states, strict=True):
        assert ours.dtype == torch.bfloat16
        assert (ours - wanted).norm() / wanted.norm() < 0.05


# --- From a folder.


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_is_built_as_its_preprocessor_says(family, tmp_path) -> None:
    model = waveform_model(family)
    source = saved(model, tmp_path, do_normalize=False)
    wanted = WaveformTeacher(waveform_model(family), "t", normalize=False)(WAVS, LENGTHS)
    teacher = build(TeacherConfig("t", source=source), layers=(1, -1))
    assert teacher.layers == (1, 3)
    found = teacher(WAVS, LENGTHS)
    assert worst(found.hidden_states, [wanted.layer(1), wanted.layer(3)]) < 1e-6
    other = build(TeacherConfig("t", source=source, normalize=True, layers=(1,)), layers=(2,))
    assert other.layers == (1,)
    assert worst(other(WAVS, LENGTHS).hidden_states, [wanted.layer(1)]) > 1e-2
    assert other.description()["normalize"] is True


def test_without_a_preprocessor_one_has_to_say_whether_to_normalise(tmp_path) -> None:
    source = saved(waveform_model("WavLM"), tmp_path)
    with pytest.raises(ConfigError, match=r"no preprocessor_config.json .* normalize: true"):
        build(TeacherConfig("t", source=source))
    assert build(TeacherConfig("t", source=source, normalize=False)).normalize is False


def test_a_teacher_of_another_sample_rate_is_refused(tmp_path) -> None:
    source = saved(waveform_model("WavLM"), tmp_path, sampling_rate=8000)
    with pytest.raises(UnsupportedCheckpointError, match="hears 8000 Hz"):
        build(TeacherConfig("t", source=source))


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    source = saved(waveform_model("WavLM"), tmp_path, do_normalize=True)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["encoder.layers.1.attention.q_proj.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointMismatchError, match=r"lacks 1 weights.*layers\.1\.attention\.q_proj"):
        build(TeacherConfig("t", source=source))


def test_a_source_that_is_nowhere_is_an_error_that_names_it(tmp_path) -> None:
    with pytest.raises(CheckpointNotFoundError, match=r"cannot load the teacher .*nothing-here"):
        build(TeacherConfig("t", source=str(tmp_path / "nothing-here")))


def test_layers_it_does_not_have_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"has layers 0 to 3 .* got \[4\]"):
        WaveformTeacher(waveform_model("WavLM"), "t", normalize=True, layers=[4])


def test_what_is_no_model_over_raw_audio_is_refused() -> None:
    with pytest.raises(UnsupportedCheckpointError, match="not a base model over raw audio"):
        WaveformTeacher(whisper_encoder(), "t", normalize=True)
    with pytest.raises(UnsupportedCheckpointError, match="has an adapter"):
        WaveformTeacher(waveform_model("Wav2Vec2", add_adapter=True), "t", normalize=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "wavlm"}, "kind of the teacher 't' must be one of"),
        ({"source": None}, "needs a source"),
        ({"kind": "logmel"}, "is computed: leave source out"),
        ({"kind": "speaker", "normalize": True}, "normalize is for teachers of kind 'transformers'"),
        ({"chunk_ms": 400}, "chunk_ms is for teachers of kind 'reference'"),
        ({"name": "a/b"}, "without '/'"),
        ({"cache_gb": 0}, "cache_gb must be above 0"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(changes, message) -> None:
    with pytest.raises(ConfigError, match=message):
        TeacherConfig(**{"name": "t", "source": "x", **changes})


def test_an_impossible_dtype_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be a floating-point type"):
        build(TeacherConfig("t", source="x", dtype="int64"))
