"""Audio from a microphone, through PortAudio."""

from __future__ import annotations

import importlib
import threading
from typing import Any

from ..errors import AudioError, MissingDependencyError
from .pcm import checked_rate
from .source import Put

_PACKETS_PER_SECOND = 50


class Microphone:
    """A microphone; of several channels the first.

    Args:
        device: its number, or a part of its name; the system's choice when None.
        sample_rate: in Hz; its own when None.

    Raises:
        MissingDependencyError: sounddevice or PortAudio is not installed.
        AudioError: there is no such microphone.
    """

    waits = False
    endless = True

    def __init__(self, device: str | None = None, sample_rate: int | None = None) -> None:
        self._library = _sounddevice()
        self._device = int(device) if device is not None and device.isdecimal() else device
        try:
            found = self._library.query_devices(self._device, "input")
        except (ValueError, self._library.PortAudioError) as error:
            wanted = "there is no microphone" if device is None else f"there is no microphone {device!r}"
            raise AudioError(f"{wanted} ({error}); {self._choice()}") from error
        self.name = f"microphone {found['name']!r}"
        self.sample_rate = checked_rate(sample_rate or round(found["default_samplerate"]))

    def run(self, put: Put, stopped: threading.Event) -> None:
        """Listen until told to stop.

        Raises:
            AudioError: it cannot be opened, or is gone.
        """

        def heard(data: Any, frames: int, when: Any, status: Any) -> None:
            # PortAudio uses the memory again.
            put(data[:, 0].copy(), gap=bool(status.input_overflow))

        try:
            with self._library.InputStream(
                samplerate=self.sample_rate,
                device=self._device,
                channels=1,
                dtype="float32",
                blocksize=self.sample_rate // _PACKETS_PER_SECOND,
                callback=heard,
            ) as stream:
                while not stopped.wait(0.1):
                    if not stream.active:
                        raise AudioError(f"the {self.name} has stopped; is it still there?")
        except self._library.PortAudioError as error:
            raise AudioError(
                f"the {self.name} cannot be opened at {self.sample_rate} Hz ({error}); another program may "
                "use it, or another --rate may help"
            ) from error

    def _choice(self) -> str:
        names = [
            f"{number}: {device['name']}"
            for number, device in enumerate(self._library.query_devices())
            if device["max_input_channels"] > 0
        ]
        return f"there are {'; '.join(names)}" if names else "the system knows none; is one connected?"


def _sounddevice() -> Any:
    try:
        return importlib.import_module("sounddevice")
    except ImportError as error:
        raise MissingDependencyError(
            "the microphone needs sounddevice: pip install sounddevice (on Linux also PortAudio: "
            "apt install libportaudio2, or your system's name for it)"
        ) from error
    except OSError as error:  # it is there, and what it binds is not
        raise MissingDependencyError(
            f"the microphone needs PortAudio ({error}): apt install libportaudio2, dnf install portaudio or "
            "brew install portaudio"
        ) from error
