"""Heads that S3PRL trained, taken out of their experiments, say what S3PRL's own experts say."""

from __future__ import annotations

import argparse
import json
import pickle

import head_experts
import pytest
import torch
from head_experts import DIM, FRAMEWISE, config_of, expert_of, say

from streaming_wavlm.errors import HeadError, SuperbError
from streaming_wavlm.heads import load_head, save_head
from streaming_wavlm.superb import compat, heads
from streaming_wavlm.superb.trained_head import open_head, trained_head

POOLED = ("voxceleb1", "speech_commands", "fluent_commands", "emotion")
LAYERS = 3


def arguments(task: str, **changes: object) -> argparse.Namespace:
    values = {
        "upstream": "streaming_wavlm_400ms",
        "downstream": task,
        "upstream_trainable": False,
        "upstream_feature_normalize": False,
        "upstream_layer_selection": None,
    }
    return argparse.Namespace(**values | changes)


@pytest.fixture
def corpus(tmp_path):
    """Where the labels of emotions and intents are."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train_data.csv").write_text(
        "action,object,location\na,c,e\nb,d,f\na,d,e\n", encoding="utf-8"
    )
    (tmp_path / "Session1").mkdir()
    (tmp_path / "Session1" / "train_meta_data.json").write_text(
        json.dumps({"labels": {"sad": 1, "glad": 0, "mad": 2}})
    )
    return tmp_path


def experiment(task, kind, corpus, monkeypatch, weights=None, **changes):
    """An experiment as S3PRL leaves it, and its expert."""
    config = heads.use(kind, task, config_of(task, corpus))
    data = config["downstream_expert"]["datarc"]
    data |= {"file_path": str(corpus), "meta_data": str(corpus)}
    outputs = {"speech_commands": 12, "phone_linear": 41}.get(task, head_experts.CLASSES)
    monkeypatch.setattr(head_experts._Corpus, "class_num", outputs)
    expert = expert_of(task, config, corpus / "expert", monkeypatch).float()
    mix = {"weights": torch.randn(LAYERS)} if weights is None else weights
    saved = {
        "Downstream": expert.state_dict(),
        "Featurizer": mix,
        "Args": arguments(task, **changes),
        "Config": config,
        "Optimizer": {},
    }
    folder = corpus / f"my {task}"
    folder.mkdir(exist_ok=True)
    torch.save(saved, folder / "states-4.ckpt")
    return folder, expert, mix


@pytest.mark.parametrize("kind", ["published", "causal"])
@pytest.mark.parametrize("task", [*POOLED, *FRAMEWISE])
def test_a_head_says_what_s3prl_says_of_the_same_features(task, kind, corpus, monkeypatch) -> None:
    compat.apply()
    (corpus / "expert").mkdir()
    folder, expert, mix = experiment(task, kind, corpus, monkeypatch)
    head = trained_head(folder)
    assert head.config.name == f"my {task}"
    assert head.config.chunk_ms == 400
    frames = 30
    hidden = [torch.randn(frames, DIM) for _ in range(LAYERS)]
    mixed = torch.einsum("l,lfd->fd", mix["weights"].softmax(0), torch.stack(hidden))
    state, values = head.begin(), []
    for place in range(0, frames, 6):
        decision, state = head.advance([layer[place : place + 6] for layer in hidden], state)
        values.append(decision.values)
    window = mixed[-head.config.window_frames :]
    with torch.no_grad():
        logits = say(task, expert, window if task in POOLED else mixed)
    if task in POOLED:
        sizes = [len(slot.labels) for slot in head.config.slots]
        expected = torch.cat([part.softmax(-1) for part in torch.split(logits[-1], sizes)])
        torch.testing.assert_close(values[-1], expected)
    else:
        shares = logits.softmax(-1) if task == "phone_linear" else logits.sigmoid()
        torch.testing.assert_close(torch.cat(values), shares)


def test_labels_are_those_of_the_corpus(corpus, monkeypatch) -> None:
    compat.apply()
    (corpus / "expert").mkdir()
    (corpus / "prepared.json").write_text(json.dumps({"classes": {"id10002": "Ada"}}))
    found = {
        task: trained_head(experiment(task, "causal", corpus, monkeypatch)[0]).config.slots
        for task in (*POOLED, *FRAMEWISE)
    }
    assert found["voxceleb1"][0].labels == ("id10001", "Ada", "id10003")
    assert found["emotion"][0].labels == ("glad", "sad", "mad")
    assert [slot.labels for slot in found["fluent_commands"]] == [("a", "b"), ("c", "d"), ("e", "f")]
    assert found["speech_commands"][0].labels[:2] == ("yes", "no")
    assert len(found["phone_linear"][0].labels) == 41
    assert found["diarization"][0].labels == ("speaker 1", "speaker 2")


def test_a_head_out_of_its_experiment_is_no_pickle_and_needs_no_corpus(corpus, monkeypatch, tmp_path) -> None:
    compat.apply()
    (corpus / "expert").mkdir()
    folder, *_ = experiment("emotion", "causal", corpus, monkeypatch)
    save_head(open_head(str(folder)), tmp_path / "head")
    (corpus / "Session1" / "train_meta_data.json").unlink()
    again = open_head(str(tmp_path / "head"))
    assert again.config == load_head(tmp_path / "head").config
    with pytest.raises(HeadError, match="convert the head where"):
        open_head(str(folder))


@pytest.mark.parametrize(
    ("task", "changes", "words"),
    [
        ("emotion", {"upstream": "fbank"}, "features of fbank"),
        ("emotion", {"upstream_trainable": True}, "without -f"),
        ("emotion", {"downstream": "asr"}, "trained for asr, whose head cannot listen"),
    ],
)
def test_what_cannot_listen_is_refused(task, changes, words, corpus, monkeypatch) -> None:
    compat.apply()
    (corpus / "expert").mkdir()
    folder, *_ = experiment(task, "causal", corpus, monkeypatch, **changes)
    with pytest.raises(HeadError, match=words):
        trained_head(folder)


def test_an_experiment_that_would_run_code_is_not_read(tmp_path) -> None:
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"Args": Evil(), "Config": {}}, tmp_path / "states-1.ckpt")
    with pytest.raises(SuperbError, match="damaged"):
        trained_head(tmp_path)
    (tmp_path / "states-1.ckpt").write_bytes(pickle.dumps({"Args": 1}))
    with pytest.raises(SuperbError, match="damaged"):
        trained_head(tmp_path)
