"""Models of this package as teachers."""

from __future__ import annotations

import copy

import pytest
import torch

from offline_models import huggingface_model
from streaming_wavlm.conversion import convert
from streaming_wavlm.distill.teachers import ReferenceTeacher, TeacherConfig, build, targets_of
from streaming_wavlm.errors import ConfigError
from teacher_models import saved
from tiny import noise, tiny_model, worst

LENGTHS = torch.tensor([8000, 5437, 300])
WAVS = noise(3, 8000)


def reference(**changes):
    return tiny_model(causal=False, front_pad="valid", **changes)


@pytest.mark.parametrize("normalize", [False, True])
def test_a_bidirectional_reference_gives_its_layers_whatever_the_batch(normalize) -> None:
    model = reference(normalize=normalize, final_norm=True)
    targets = ReferenceTeacher(model, "r")(WAVS, LENGTHS)
    assert targets.lengths.tolist() == [24, 16, 0]
    for row, frames in enumerate([24, 16]):
        alone = model(WAVS[row : row + 1, : LENGTHS[row]]).hidden_states
        assert worst([h[row : row + 1, :frames] for h in targets.hidden_states], alone) < 1e-10


@pytest.mark.parametrize("normalize", [False, True])
def test_its_positional_targets_are_what_it_computes_itself(normalize) -> None:
    model = reference(normalize=normalize)
    seen = []
    embedding = model.encoder.positional_embedding
    centred = embedding.centred
    embedding.centred = lambda inputs: seen.append((inputs, centred(inputs))) or seen[-1][1]
    model(WAVS[:2], LENGTHS[:2])
    del embedding.centred
    found = ReferenceTeacher(model, "r").positional(WAVS, LENGTHS)
    assert found.lengths.tolist() == [24, 16, 0]
    present = (torch.arange(24) < LENGTHS.new_tensor([24, 16])[:, None])[:, :, None]
    # transformers' epsilon under the root, and ours, differ by 1e-5
    assert worst((found.inputs[:2], found.outputs[:2]), [side * present for side in seen[0]]) < 1e-3


def test_a_causal_model_can_be_asked_for_its_whole_recording_pass() -> None:
    model = tiny_model(lookahead_size="chunk", chunk_ms=80)
    whole = ReferenceTeacher(model, "r", chunk_ms="whole")(WAVS, LENGTHS)
    assert worst(whole.hidden_states, model(WAVS, LENGTHS, chunk_ms=500).hidden_states) < 1e-10
    chunked = ReferenceTeacher(model, "r")(WAVS, LENGTHS)
    assert worst(chunked.hidden_states, model(WAVS, LENGTHS).hidden_states) == 0
    assert worst(whole.hidden_states, chunked.hidden_states) > 1e-3
    assert whole.lengths.tolist() == [25, 17, 1]


def test_the_whole_pass_of_a_row_does_not_depend_on_the_longest_row() -> None:
    teacher = ReferenceTeacher(tiny_model(lookahead_size="chunk"), "r", chunk_ms="whole")
    targets = teacher(WAVS, LENGTHS)
    alone = teacher(WAVS[1:2, :5437])
    assert worst([h[1:2, :17] for h in targets.hidden_states], alone.hidden_states) < 1e-10


def test_a_student_asked_for_its_own_targets_goes_on_learning() -> None:
    model = tiny_model().train()
    with torch.no_grad():
        targets = targets_of(model, WAVS, LENGTHS, layers=(2,))
    assert len(targets.hidden_states) == 1
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


def test_a_saved_reference_and_a_wavlm_to_convert_are_built(tmp_path) -> None:
    offline = huggingface_model()
    model = convert(offline, bidirectional=True)
    model.save_pretrained(tmp_path / "ours")
    source = saved(offline, tmp_path / "theirs")
    wavs = WAVS.float()
    wanted = ReferenceTeacher(model, "r")(wavs, LENGTHS)
    for folder in (str(tmp_path / "ours"), source):
        teacher = build(TeacherConfig("r", kind="reference", source=folder), layers=(2, -1))
        assert teacher.layers == (2, 4)
        targets = teacher(wavs, LENGTHS)
        assert worst(targets.hidden_states, [wanted.layer(2), wanted.layer(4)]) < 1e-6


def test_a_causal_model_has_no_positional_targets() -> None:
    with pytest.raises(ConfigError, match="no positional convolution that looks both ways"):
        ReferenceTeacher(tiny_model(), "r").positional(WAVS, LENGTHS)


def test_it_has_no_layer_0() -> None:
    with pytest.raises(ConfigError, match=r"has layers 1 to 2 .* got \[0\]"):
        ReferenceTeacher(tiny_model(), "r", layers=[0])


def test_the_fingerprint_tells_weights_and_settings_apart() -> None:
    model = tiny_model()
    prints = {
        ReferenceTeacher(copy.deepcopy(model), "r").fingerprint(),
        ReferenceTeacher(copy.deepcopy(model), "r", layers=(1,)).fingerprint(),
        ReferenceTeacher(copy.deepcopy(model), "r", chunk_ms="whole").fingerprint(),
        ReferenceTeacher(tiny_model(seed=1), "r").fingerprint(),
    }
    assert len(prints) == 4
    assert ReferenceTeacher(copy.deepcopy(model), "r").fingerprint() in prints


def test_where_it_came_from_does_not_change_the_fingerprint() -> None:
    model = tiny_model()
    before = ReferenceTeacher(copy.deepcopy(model), "r").fingerprint()
    model.provenance = {"converted_from": "elsewhere"}
    assert ReferenceTeacher(model, "r").fingerprint() == before
