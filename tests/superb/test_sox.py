from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from streaming_wavlm.errors import SuperbError
from streaming_wavlm.superb.sox import apply_effects_file, apply_effects_tensor, effect_names


def tone(pitch: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(int(rate * seconds)) / rate)


def test_the_chain_of_the_keyword_task(tmp_path) -> None:
    stereo = np.stack([tone(300, 44100), np.zeros(44100)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 44100, subtype="PCM_16")
    wave, rate = apply_effects_file(
        str(tmp_path / "a.wav"), [["channels", "1"], ["rate", "16000"], ["gain", "-3.0"]]
    )
    assert (rate, wave.shape, wave.dtype) == (16000, (1, 16000), torch.float32)
    expected = tone(300, 16000) / 2 * 10 ** (-3 / 20)
    middle = slice(2000, 14000)
    np.testing.assert_allclose(wave[0, middle].numpy(), expected[middle], atol=1e-3)


def test_norm_raises_the_peak_to_full_scale_and_leaves_silence_alone() -> None:
    wave, _ = apply_effects_tensor(torch.tensor([[0.1, -0.25]]), 16000, [["norm"]])
    torch.testing.assert_close(wave, torch.tensor([[0.4, -1.0]]))
    wave, _ = apply_effects_tensor(torch.zeros(1, 5), 16000, [["norm"]])
    assert not wave.any()


def test_what_is_too_loud_is_clipped() -> None:
    wave, _ = apply_effects_tensor(torch.tensor([[0.9]]), 16000, [["gain", "6"], ["gain", "-6"]])
    assert wave.item() == pytest.approx(10 ** (-6 / 20))


def test_layouts_are_those_of_torchaudio(tmp_path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((10, 2)), 8000)
    assert apply_effects_file(tmp_path / "a.wav", [], channels_first=False)[0].shape == (10, 2)
    last = torch.tensor([[0.2, 0.4]] * 10)
    wave, _ = apply_effects_tensor(last, 8000, [["channels", "1"]], channels_first=False)
    assert wave.shape == (10, 1)
    assert wave[0].item() == pytest.approx(0.3)


def test_silence_is_one_of_the_effects() -> None:
    loud = torch.cat([torch.zeros(1, 8000), 0.5 * torch.ones(1, 4000)], dim=1)
    wave, _ = apply_effects_tensor(loud, 16000, [["silence", "1", "0.1", "0.1%"]])
    assert wave.shape == (1, 4000)


@pytest.mark.parametrize(
    ("effect", "message"),
    [
        (["vad"], "'vad' is not available"),
        (["channels", "2"], "1 channel here"),
        (["gain"], "takes one number"),
        (["gain", "loud"], "takes one number"),
        (["rate", "16k"], "takes one number"),
        (["silence", "1"], "PERIODS SECONDS THRESHOLD"),
    ],
)
def test_what_is_not_available_is_a_named_error(effect, message) -> None:
    with pytest.raises(SuperbError, match=message):
        apply_effects_tensor(torch.zeros(1, 10), 16000, [effect])


def test_silence_takes_mono_only() -> None:
    with pytest.raises(SuperbError, match="mono"):
        apply_effects_tensor(torch.zeros(2, 10), 16000, [["silence", "1", "0.1", "1%"]])


def test_the_names_are_listed() -> None:
    assert effect_names() == ["channels", "rate", "gain", "norm", "silence"]
