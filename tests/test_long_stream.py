"""Hours of audio: constant memory, constant cost, no drift."""

from __future__ import annotations

import dataclasses

import torch

from tiny import noise, tiny_model, worst


def test_three_hours_end_with_the_numbers_of_a_window_sized_replay() -> None:
    """After 3 h, features depend on the last windows of audio alone, one window per layer deep."""
    model = tiny_model(chunk_ms=400, window_size=32, num_layers=2)
    config = model.config
    chunks = 3 * 3600 * 1000 // 400
    period = 64  # recorded noise on a loop, so that the replay can be cut from anywhere
    audio = noise(period, 1, config.chunk_samples)
    with torch.inference_mode():
        state = model.init_state(1)
        size = state.nbytes()
        for index in range(chunks):
            out, state = model.step(audio[index % period], state)
        assert state.nbytes() == size
        assert int(state.position) == chunks * config.chunk_frames
        assert out.last_hidden_state.isfinite().all()

        # Each layer looks a window back, the positional convolution a kernel, the front-end one frame.
        depth = config.num_layers * config.window_size + config.conv_pos + 2
        replay = -(-depth // config.chunk_frames) + 2
        again = model.init_state(1)
        again = dataclasses.replace(again, position=again.position + (chunks - replay) * config.chunk_frames)
        for index in range(chunks - replay, chunks):
            replayed, again = model.step(audio[index % period], again)
    assert worst(out.hidden_states, replayed.hidden_states) < 1e-10


def test_a_replay_from_another_place_in_the_recording_disagrees() -> None:
    model = tiny_model(chunk_ms=400)
    audio = noise(8, 1, model.config.chunk_samples)
    with torch.inference_mode():
        outs = []
        for order in ((0, 1, 2, 3, 4, 5, 6, 7), (1, 2, 3, 4, 5, 6, 0, 7)):
            state = model.init_state(1)
            for index in order:
                out, state = model.step(audio[index], state)
            outs.append(out)
    assert worst(outs[0].hidden_states, outs[1].hidden_states) > 1e-6
