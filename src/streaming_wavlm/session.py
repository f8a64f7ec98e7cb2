"""One live stream: packets of any size and rate in, features out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .audio import Resampler, Samples
from .config import SAMPLE_RATE
from .errors import InputError, SessionClosedError, StateError
from .output import WavLMOutput
from .sample_queue import SampleQueue
from .streaming import Streaming, check_no_dropout, resolve_layers

_INT16_SCALE = 1 / 32768


class StreamSession:
    """Feeds one stream to a model: buffers packets, resamples them with state, and flushes at the end.

    However the audio is split into packets, the features joined are those of one pass over the whole
    recording (resampled as a whole, where the rate is not 16 kHz). A session is for one thread at a time.

    Args:
        model: a causal model or an engine; it is used as it is, and must be in eval mode if its config has
            dropout.
        sample_rate: of the packets, in Hz. Resampling holds audio back, 40 to 230 ms of it: see
            :class:`~streaming_wavlm.audio.Resampler`.
        layers: which hidden states to return, as indices from 0 (or from -1, the last); all when None.

    Raises:
        InputError: the rate is no positive integer, a layer does not exist, or the model would apply dropout.
        ConfigError: the model is bidirectional.
    """

    def __init__(
        self, model: Streaming[Any], sample_rate: int = SAMPLE_RATE, *, layers: Sequence[int] | None = None
    ) -> None:
        check_no_dropout(model)
        self._model = model
        self._rate = sample_rate
        self._layers = resolve_layers(layers, model.config.num_layers)
        self._audio_type = np.dtype(np.float64 if model.dtype == torch.float64 else np.float32)
        self._resampler = Resampler(sample_rate, self._audio_type)
        self._buffer: SampleQueue
        self._ending: bool
        self._closed: bool
        self.reset()

    @property
    def sample_rate(self) -> int:
        """Samples per second of the packets."""
        return self._rate

    @property
    def layers(self) -> tuple[int, ...]:
        """The hidden states that are returned, as indices from 0."""
        return self._layers

    @property
    def frames(self) -> int:
        """Frames returned since the stream began."""
        return self._frames

    @property
    def samples(self) -> int:
        """Samples pushed since the stream began, at the rate of the packets."""
        return self._samples

    @property
    def seconds(self) -> float:
        """Audio pushed since the stream began, in seconds."""
        return self._samples / self._rate

    @property
    def closed(self) -> bool:
        """Whether the stream has ended: only :meth:`reset` and :meth:`fork` are left."""
        return self._closed

    def push(self, packet: Any) -> Tensor:
        """Take a packet and return the features that are due.

        A packet that is refused leaves the session as it was. If the model itself fails (out of memory, say),
        the packet has been taken and nothing of it is lost: push on, with an empty packet if need be.

        Args:
            packet: mono audio ``[samples]`` of any length, an array or a tensor, floating point in [-1, 1] or
                16-bit integers.

        Returns:
            Hidden states ``[layers, new frames, dim]``; zero frames while no chunk is complete.

        Raises:
            InputError: the packet has another shape or type, or holds NaN or infinities.
            SessionClosedError: the stream has ended.
        """
        if self._ending:
            raise SessionClosedError(
                "push() after finish(): the stream has ended; call reset() to begin another"
            )
        samples = self._checked(packet)
        self._samples += len(samples)
        self._buffer.append(self._resampler.push(samples))
        self._run_steps()
        return self._collect()

    def finish(self) -> Tensor:
        """End the stream and return the rest of its features.

        Returns:
            Hidden states ``[layers, frames, dim]``; together with what :meth:`push` returned,
            ``ceil(samples at 16 kHz / 320)`` frames.

        Raises:
            SessionClosedError: the stream has already ended.
        """
        if self._closed:
            raise SessionClosedError("finish() twice: the stream has ended; call reset() to begin another")
        if not self._ending:
            self._buffer.append(self._resampler.finish())
            self._ending = True
        self._run_steps()
        tail = self._tensor(self._buffer.peek(len(self._buffer)))
        with torch.no_grad():
            output, _ = self._model.finish(self._state, tail)
        self._keep(output)
        self._buffer.clear()
        features = self._collect()
        self._closed = True
        return features

    def reset(self) -> None:
        """Forget the stream and be ready for another one."""
        self._resampler.reset()
        self._buffer = SampleQueue(self._audio_type)
        self._state = self._model.init_state(1)
        self._ready: list[Tensor] = []
        self._frames = 0
        self._samples = 0
        self._ending = False
        self._closed = False

    def fork(self) -> StreamSession:
        """Return an independent session that goes on from here.

        Raises:
            StateError: the session is resampling a stream that has begun, and the resampler cannot be copied.
        """
        if not self._resampler.passes_through and self._samples > 0 and not self._ending:
            raise StateError(
                f"a session that resamples from {self._rate} Hz cannot be forked in mid-stream because its "
                "resampler cannot be copied; resample upstream (streaming_wavlm.audio.Resampler) and open "
                "the session at 16000 Hz"
            )
        twin = StreamSession(self._model, self._rate, layers=self._layers)
        twin._buffer = self._buffer.copy()
        twin._state = self._state
        twin._ready = list(self._ready)
        twin._frames = self._frames
        twin._samples = self._samples
        twin._ending = self._ending
        twin._closed = self._closed
        return twin

    def _checked(self, packet: Any) -> Samples:
        """Return the packet as a fresh array of floating point, or refuse it."""
        if isinstance(packet, Tensor):
            packet = packet.detach().cpu()
            packet = packet.float().numpy() if packet.dtype == torch.bfloat16 else packet.numpy()
        try:
            array = np.asarray(packet)
        except (ValueError, TypeError) as error:
            raise InputError(f"a packet is mono audio [samples], got a {type(packet).__name__}") from error
        if array.ndim != 1:
            raise InputError(
                f"a packet is mono audio [samples], got shape {list(array.shape)}; average the channels first"
            )
        if array.dtype == np.int16:
            return array.astype(self._audio_type) * _INT16_SCALE
        if array.dtype.kind != "f":
            raise InputError(
                f"a packet holds floating point in [-1, 1] or 16-bit integers, got {array.dtype}"
            )
        with np.errstate(over="ignore"):
            samples: Samples = array.astype(self._audio_type)
        if not np.isfinite(samples).all():
            where = int(np.flatnonzero(~np.isfinite(samples))[0])
            raise InputError(f"the packet holds NaN or infinity (first at sample {where}); it was not taken")
        return samples

    def _run_steps(self) -> None:
        """Run the chunks that are complete; audio leaves the buffer only when its features are safe."""
        size = self._model.config.chunk_samples
        while len(self._buffer) >= size:
            chunk = self._tensor(self._buffer.peek(size))
            with torch.no_grad():
                output, state = self._model.step(chunk, self._state)
            self._keep(output)
            self._state = state
            self._buffer.drop(size)

    def _tensor(self, samples: Samples) -> Tensor:
        return torch.from_numpy(samples)[None].to(self._model.device, self._model.dtype)

    def _keep(self, output: WavLMOutput) -> None:
        self._ready.append(torch.stack([output.hidden_states[layer][0] for layer in self._layers]))

    def _collect(self) -> Tensor:
        model = self._model
        if not self._ready:
            return torch.zeros(len(self._layers), 0, model.config.dim, device=model.device, dtype=model.dtype)
        features = torch.cat(self._ready, dim=1)
        self._ready = []
        self._frames += features.shape[1]
        return features
