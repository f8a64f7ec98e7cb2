"""Features of many recordings into a folder: resumable, streamed if asked, never half written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .audio import Samples, iter_audio, read_audio
from .config import SAMPLE_RATE
from .errors import AudioError, ConfigError, InputError
from .extract_record import ExtractRecord, Settings, describe_source
from .feature_writer import FeatureWriter, FileFormat, check_storage
from .model import StreamingWavLM
from .recordings import find_recordings
from .session import StreamSession
from .streaming import check_no_dropout, resolve_layers


@dataclass(frozen=True)
class Failure:
    """A recording, or a folder, that gave no features, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        path: the recording in hand, or just done with.
        files: recordings done with, one way or another.
        total: recordings there are.
        seconds: audio whose features were computed in this run.
    """

    path: Path
    files: int
    total: int
    seconds: float


@dataclass(frozen=True)
class ExtractReport:
    """What a run did.

    Attributes:
        written: the feature files that it wrote.
        skipped: recordings whose features were there already.
        failures: recordings that could not be read, and folders without any.
        seconds: audio whose features were computed.
    """

    written: tuple[Path, ...]
    skipped: int
    failures: tuple[Failure, ...]
    seconds: float


def extract(
    model: StreamingWavLM,
    sources: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    layers: Sequence[int] | None = None,
    file_format: FileFormat = "safetensors",
    save_dtype: torch.dtype | None = None,
    stream: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> ExtractReport:
    """Write the hidden states of recordings, one file ``[layers, frames, dim]`` each, and skip what is there.

    The folder remembers the weights, config, layers and types that its features were made with
    (``extract.json``), and which recordings are complete (``extract.jsonl``): run again, it goes on where it
    stopped, computes anew what belongs to a recording that has changed, and refuses to mix models.

    Args:
        model: the model, in eval mode.
        sources: audio files, and folders of them; see :func:`~streaming_wavlm.recordings.find_recordings` for
            the names of the results.
        out: the folder to write to.
        layers: which hidden states, as indices from 0 (or from -1, the last); all when None.
        file_format: ``"safetensors"`` (tensor ``hidden_states``) or ``"npy"``.
        save_dtype: floating-point type to store; the model's when None.
        stream: feed the model chunk by chunk in bounded memory, for recordings of any length; otherwise each
            recording is held in memory as a whole. The features are the same.
        overwrite: compute everything anew.
        on_progress: called after each recording, and while one is streamed.

    Returns:
        What was written, what was skipped and what could not be read.

    Raises:
        InputError: there is no recording; layers, format or type are impossible; or the model would apply
            dropout.
        ConfigError: the folder holds features made with other settings, or of other recordings of the same
            names; a bidirectional model is to stream.
        OutputError: the folder cannot be written, or the disk is full.
    """
    out = Path(out).expanduser()
    reader = _Reader(model, resolve_layers(layers, model.config.num_layers), stream)
    dtype = save_dtype or model.dtype
    check_storage(file_format, dtype)
    found = find_recordings(sources)
    failures = [Failure(folder, f"{folder} holds no audio files") for folder in found.without_audio]
    if not found.recordings:
        given = "; ".join(failure.reason for failure in failures) or "no files or folders were given"
        raise InputError(f"there is nothing to extract: {given}")
    settings = Settings.of(model, reader.layers, file_format, dtype)
    outputs = {recording.path: out / f"{recording.name}.{file_format}" for recording in found.recordings}
    record = ExtractRecord.open(out, settings, outputs.values(), overwrite)
    if not overwrite:
        record.refuse_others(outputs)

    def tell(path: Path, files: int) -> None:
        if on_progress:
            on_progress(Progress(path, files, len(outputs), reader.samples / SAMPLE_RATE))

    written: list[Path] = []
    for number, (path, output) in enumerate(outputs.items()):
        if overwrite or not record.is_complete(output, path):
            metadata = {**settings.header(), "source": os.fspath(path)}
            before = reader.samples
            try:
                with FeatureWriter(output, file_format, reader.shape, dtype, metadata) as file:
                    source = describe_source(path) if path.exists() else {}
                    for features in reader.features(path):
                        file.append(features)
                        tell(path, number)
                    size = file.commit()
                record.add(output, source, reader.samples - before, file.frames, size)
                written.append(output)
            except (AudioError, InputError) as error:
                failures.append(Failure(path, str(error)))
            except (MemoryError, RuntimeError) as error:
                if not _is_lack_of_memory(error):
                    raise
                failures.append(Failure(path, _too_long(path, stream)))
        tell(path, number + 1)
    skipped = len(outputs) - len(written) - len(failures) + len(found.without_audio)
    return ExtractReport(tuple(written), skipped, tuple(failures), reader.samples / SAMPLE_RATE)


def _is_lack_of_memory(error: BaseException) -> bool:
    # torch's allocator for the CPU has no exception of its own.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _too_long(path: Path, stream: bool) -> str:
    advice = "a smaller --chunk-ms or fewer --layers take less" if stream else "extract it with --stream"
    return f"{path} does not fit into the memory that is free; {advice}"


class _Reader:
    """Turns one recording after another into features, and counts the audio."""

    def __init__(self, model: StreamingWavLM, layers: tuple[int, ...], stream: bool) -> None:
        if stream and not model.config.causal:
            raise ConfigError("a bidirectional model cannot stream; extract without streaming")
        check_no_dropout(model)
        self.layers = layers
        self.shape = (len(layers), model.config.dim)
        self.samples = 0
        self._model = model
        self._session = StreamSession(model, layers=layers) if stream else None

    def features(self, path: Path) -> Iterator[Tensor]:
        """Yield a recording's hidden states in pieces ``[layers, frames, dim]``."""
        if self._session is None:
            wav = read_audio(path)
            features = self._one_pass(wav)
            self.samples += len(wav)
            yield features
            return
        self._session.reset()
        for block in iter_audio(path):
            features = self._session.push(block)
            self.samples += len(block)
            yield features
        yield self._session.finish()

    def _one_pass(self, wav: Samples) -> Tensor:
        batch = torch.from_numpy(wav)[None].to(self._model.device, self._model.dtype)
        with torch.no_grad():
            output = self._model(batch)
        return torch.stack([output.hidden_states[layer][0] for layer in self.layers])
