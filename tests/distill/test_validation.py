from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lab import make_corpus, toy_recipe
from streaming_wavlm.data import DataError
from streaming_wavlm.distill.runtime import build_fabric
from streaming_wavlm.distill.validation import Measurement, validate
from streaming_wavlm.distill.workshop import Workshop, build_workshop
from streaming_wavlm.errors import ConfigError


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    make_corpus(tmp_path)
    pairs = [{"teacher": "mel", "student_layer": layer} for layer in (1, 2)]
    recipe = toy_recipe(tmp_path, tmp_path, objective={"pairs": pairs}, student={"config": {"dropout": 0.5}})
    return build_workshop(recipe, build_fabric(recipe.runtime))


def test_the_numbers_are_those_of_each_recording_alone(shop: Workshop) -> None:
    fabric = build_fabric(shop.recipe.runtime)
    found = validate(shop.task, shop.teachers, shop.held_out, (100, "whole"), fabric)
    errors: dict[int, list[list[float]]] = {1: [], 2: []}
    shop.student.eval()
    for batch in shop.held_out.load():
        for wav, length in zip(batch.wavs, batch.lengths.tolist(), strict=True):
            alone = wav[None, :length]
            with torch.no_grad():
                targets = shop.teachers.models["mel"](alone)
                output = shop.student(alone, chunk_ms=100)
                lesson = {"mel": targets}
                for layer, item in zip((1, 2), shop.task.objective.aligned(output, lesson), strict=True):
                    mask = item.mask
                    gap = (
                        (item.prediction - item.target)[mask].square().sum(),
                        item.target[mask].square().sum(),
                    )
                    errors[layer].append([float(value) for value in gap])
    for layer, sums in errors.items():
        error, size = np.sum(sums, axis=0)
        agreement = found.agreement["100"][f"mel/mse/{layer}--1"]
        assert agreement.relative_error == pytest.approx((error / size) ** 0.5, rel=1e-4)
    assert set(found.losses) == {"100", "whole"}
    assert found.losses["100"] != found.losses["whole"]
    assert found.score == pytest.approx(sum(found.losses.values()) / 2)


def test_measuring_leaves_no_trace(shop: Workshop) -> None:
    before = {name: weight.clone() for name, weight in shop.task.state_dict().items()}
    validate(shop.task, shop.teachers, shop.held_out, (100,), build_fabric(shop.recipe.runtime))
    assert shop.task.training
    assert all(torch.equal(weight, before[name]) for name, weight in shop.task.state_dict().items())
    assert all(weight.grad is None for weight in shop.task.parameters())
    assert not any(parameter.requires_grad for parameter in shop.teachers.models["mel"].parameters())


def test_a_batch_that_cannot_be_read_is_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_corpus(tmp_path)
    recipe = toy_recipe(tmp_path, tmp_path, data={"batch_seconds": 0.8})
    fabric = build_fabric(recipe.runtime)

    def measured() -> Measurement:
        shop = build_workshop(recipe, fabric)
        assert shop.held_out is not None
        return validate(shop.task, shop.teachers, shop.held_out, (100,), fabric)

    whole = measured()
    (tmp_path / "voices/audio/voice23.wav").write_bytes(b"garbage")
    found = measured()
    assert (whole.bad, found.bad) == (0, 1)
    assert found.values()["bad"] == found.curves()["validation/bad"] == 1
    assert "voice23.wav" in caplog.text
    assert np.isfinite(found.score)
    assert found.score != whole.score
    for path in (tmp_path / "voices/audio").glob("*.wav"):
        path.write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"none of the 4 recordings to measure on can be read.*data\.dev"):
        measured()


@pytest.mark.parametrize(("sizes", "why"), [([410], "multiple of the hop"), ([100, 100], "given once")])
def test_chunk_sizes_that_cannot_be_measured_at_are_refused_before_the_first_step(
    tmp_path: Path, sizes: list[int], why: str
) -> None:
    make_corpus(tmp_path)
    recipe = toy_recipe(tmp_path, tmp_path, validation={"chunk_ms": sizes})
    with pytest.raises(ConfigError, match=rf"validation\.chunk_ms: .*{why}"):
        build_workshop(recipe, build_fabric(recipe.runtime))
