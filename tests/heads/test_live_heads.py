"""Heads go through a stream chunk by chunk and say what they would say of the whole."""

from __future__ import annotations

import json

import pytest
import torch

from lab_heads import CONFIGS, DIM, LAYERS, head, offline
from streaming_wavlm.errors import HeadError
from streaming_wavlm.heads import HeadConfig, HeadReader, Slot, load_head, save_head
from streaming_wavlm.heads.fit import require_fit
from streaming_wavlm.heads.pooled import PooledHead
from tiny import tiny_model

NAMES = sorted(CONFIGS)


def features(frames: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(frames, DIM, generator=generator) for _ in range(LAYERS)]


def said(one, hidden, sizes):
    """What a head says at the end of chunks of some sizes."""
    state, place, all_of_it = one.begin(), 0, []
    for size in sizes:
        decision, state = one.advance([layer[place : place + size] for layer in hidden], state)
        place += size
        all_of_it.append(decision.values)
    return all_of_it


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sizes", [[4] * 6 + [1], [20, 5], [1] * 25, [25]])
def test_a_head_says_in_a_stream_what_it_says_of_the_window(name, sizes) -> None:
    one, hidden = head(name), features(25)
    got = said(one, hidden, sizes)
    if CONFIGS[name].kind == "pooled":
        ends = torch.tensor(sizes).cumsum(0).tolist()
        for end, values in zip(ends, got, strict=True):
            torch.testing.assert_close(values, offline(one, hidden, end))
    else:
        torch.testing.assert_close(torch.cat(got), offline(one, hidden, 25))


@pytest.mark.parametrize("broken", ["window", "restart"])
def test_a_head_that_forgets_wrongly_would_be_seen(broken, monkeypatch) -> None:
    hidden, sizes = features(25), [4] * 6 + [1]
    if broken == "window":
        one = head("words")
        advance = PooledHead.advance

        def forgets(self, chunk, state):
            return advance(self, chunk, self.begin())

        monkeypatch.setattr(PooledHead, "advance", forgets)
        assert (said(one, hidden, sizes)[-1] - offline(one, hidden, 25)).abs().max() > 1e-2
    else:
        one = head("speakers")
        expected = offline(one, hidden, 25)
        object.__setattr__(one.config, "restart_frames", 0)
        try:
            assert (torch.cat(said(one, hidden, sizes)) - expected).abs().max() > 1e-2
        finally:
            object.__setattr__(one.config, "restart_frames", 9)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_a_value(name) -> None:
    one, hidden = head(name), features(12)
    _, state = one.advance([layer[:4] for layer in hidden], one.begin())
    before = [part.clone() for part in state]
    first, _ = one.advance([layer[4:8] for layer in hidden], state)
    again, _ = one.advance([layer[4:8] for layer in hidden], state)
    assert torch.equal(first.values, again.values)
    assert all(torch.equal(was, part) for was, part in zip(before, state, strict=True))


def test_what_is_told_of_a_decision() -> None:
    reader = HeadReader({name: head(name) for name in NAMES})
    events, state = reader.advance(features(4), reader.begin(), position=8)
    told = {event["name"]: event for event in events}
    assert {event["position"] for event in events} == {12}
    words = told["words"]["slots"][0]
    assert words["name"] == "keyword"
    assert set(words["scores"]) == {"yes", "no", "other"}
    assert words["label"] == max(words["scores"], key=words["scores"].get)
    assert sum(words["scores"].values()) == pytest.approx(1, abs=1e-3)
    assert told["words"]["heard"] == 4
    assert [slot["name"] for slot in told["orders"]["slots"]] == ["what", "where"]
    assert len(told["phones"]["labels"]) == len(told["phones"]["scores"]) == 4
    assert {name: len(scores) for name, scores in told["speakers"]["scores"].items()} == {
        "speaker 1": 4,
        "speaker 2": 4,
    }
    assert told["speakers"]["begin"] == 8
    assert json.loads(json.dumps(events)) == events
    assert reader.advance(features(0), state, position=12) == ([], state)


@pytest.mark.parametrize("name", NAMES)
def test_a_head_is_the_same_after_saving(name, tmp_path) -> None:
    one = head(name)
    save_head(one, tmp_path / "head")
    again = load_head(tmp_path / "head")
    assert again.config == one.config
    assert torch.equal(said(one, features(5), [5])[0], said(again, features(5), [5])[0])


def test_damaged_heads_are_named_errors(tmp_path) -> None:
    save_head(head("words"), tmp_path)
    description, weights = tmp_path / "head.json", tmp_path / "model.safetensors"
    good = json.loads(description.read_text())
    for change, words in (
        ({"format": 9}, "format: 1"),
        ({"colour": 1}, "no field 'colour'"),
        ({"kind": "song"}, "kind of a head must be"),
        ({"dim": 10**9}, "dim of a head must be"),
        ({"window_frames": 0}, "window_frames"),
        ({"layer": "last"}, "layer of a head"),
        ({"layer": 256}, "layer of a head"),
        ({"slots": []}, "slots of a head"),
        ({"slots": 3}, "damaged"),
        ({"after": {"hidden": [4], "activation": "system"}}, "activation"),
        ({"projector": 9}, "projector.weight is"),
        (
            {"projector": 16_000, "dim": 16_000, "after": {"hidden": [16_000] * 16, "activation": "ReLU"}},
            "fit",
        ),
    ):
        description.write_text(json.dumps({**good, **change}))
        with pytest.raises(HeadError, match=words):
            load_head(tmp_path)
    description.write_text("[" * 100_000)
    with pytest.raises(HeadError, match="damaged"):
        load_head(tmp_path)
    description.write_text(json.dumps(good))
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(HeadError, match="damaged"):
        load_head(tmp_path)
    weights.unlink()
    with pytest.raises(HeadError, match="damaged"):
        load_head(tmp_path)
    with pytest.raises(HeadError, match="there is no head nowhere"):
        load_head("nowhere")


def test_a_head_has_to_fit_its_model(caplog) -> None:
    model = tiny_model(dtype=torch.float32)
    require_fit(head("words"), model)
    other = HeadConfig("x", "emotion", "pooled", (Slot("emotion", ("a", "b")),), dim=DIM, layers=5)
    with pytest.raises(HeadError, match="hears 5 layers of width 16"):
        require_fit(PooledHead(other), model)
    layers = model.config.num_layers
    for layer in (layers, -layers - 1):
        alone = HeadConfig("x", "emotion", "pooled", other.slots, dim=DIM, layers=0, layer=layer)
        with pytest.raises(
            HeadError, match=f"hears layer {layer}, and the model has {layers}, from -{layers}"
        ):
            require_fit(PooledHead(alone), model)
    for layer in (layers - 1, -layers):
        alone = HeadConfig("x", "emotion", "pooled", other.slots, dim=DIM, layers=0, layer=layer)
        require_fit(PooledHead(alone), model)
    marked = head("words")
    marked.config = HeadConfig.from_json({**marked.config.to_json(), "weights": model.mark()})
    require_fit(marked, model)
    assert not caplog.records
    require_fit(marked, tiny_model(seed=1, dtype=torch.float32))
    assert "trained on the features of other weights" in caplog.text
