"""``streaming-wavlm stream``: features of a microphone, a pipe or a file while it runs."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .bearer import add_token_option, read_token
from .heads import add_head_options, open_heads
from .options import (
    CHECKPOINT_HELP,
    add_device_options,
    add_engine_options,
    add_model_options,
    load_engine,
    new_parser,
)

if TYPE_CHECKING:
    from ..sources import Source
    from .stream_features import Chunk, Computer

_EPILOG = """\
SOURCE is
  a file             any format and rate; as fast as it goes, or with --realtime like a microphone
  -                  standard input: raw mono audio, see --rate and --encoding
  mic, mic:DEVICE    a microphone, by its number or a part of its name (needs sounddevice)
  ws://HOST/PATH     a WebSocket whose binary messages are raw mono audio, see --rate and --encoding

The token of --token-file is shown to --server, or without one to a ws:// SOURCE; that of the environment to
--server only.

A microphone never waits for the model: what finds no room in the queue is dropped, counted and shown. Files,
pipes and WebSockets wait instead. However the stream ends, by Ctrl-C too, the audio that was taken is
computed to its end and written; a second Ctrl-C leaves out what waits.

examples:
  streaming-wavlm stream mic
  streaming-wavlm stream speech.flac --realtime --out features.safetensors --layers all
  ffmpeg -i talk.mp4 -f s16le -ac 1 -ar 16000 - | streaming-wavlm stream - --jsonl --pool
  streaming-wavlm stream mic --head digits
  streaming-wavlm stream mic --server http://127.0.0.1:8765
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(subparsers, "stream", "compute the features of live audio, and watch them", _EPILOG)
    parser.add_argument("source", metavar="SOURCE", help="a file, -, mic, mic:DEVICE or ws://…")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "-k", "--checkpoint", default="mini", help=f"{CHECKPOINT_HELP} (default: mini, the embedded one)"
    )
    where.add_argument("--server", metavar="URL", help="let a live server compute, such as http://HOST:8765")
    add_model_options(parser)
    parser.add_argument("--layers", default="-1", metavar="LIST", help="such as 0,5,11, or all (default: -1)")
    parser.add_argument("--realtime", action="store_true", help="play a file at its own speed")
    parser.add_argument(
        "--rate", type=int, metavar="HZ", help="of raw audio (16000), or of a microphone (its own)"
    )
    parser.add_argument(
        "--encoding", choices=("pcm16", "float32"), default="pcm16", help="of raw audio (default: pcm16)"
    )
    parser.add_argument(
        "--queue-seconds", type=float, default=5.0, metavar="S", help="audio that may wait for the model (5)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="features, as .safetensors or .npy; replaced if it exists"
    )
    parser.add_argument(
        "--save-dtype",
        choices=("float32", "float16"),
        default="float32",
        help="of the file (default: float32)",
    )
    parser.add_argument("--jsonl", action="store_true", help="print one JSON object a chunk")
    parser.add_argument(
        "--pool", action="store_true", help="with --jsonl: and each layer's mean over the chunk"
    )
    parser.add_argument("--no-display", action="store_true", help="show nothing while it runs")
    add_head_options(parser, "shown, and printed by --jsonl")
    add_token_option(parser)
    add_device_options(parser)
    add_engine_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Stream until the source ends or somebody ends it."""
    from ..errors import InputError
    from ..sources import open_source
    from .stopping import Stopping

    if arguments.pool and not arguments.jsonl:
        raise InputError("--pool adds to the lines of --jsonl, which was not asked for")
    token = read_token(arguments)
    source = open_source(
        arguments.source,
        sample_rate=arguments.rate,
        encoding=arguments.encoding,
        realtime=arguments.realtime,
        token=_token_of_source(arguments, token),
    )
    computer = _computer(arguments, source, token)
    with Stopping() as stopping, ExitStack() as stack:
        stack.callback(computer.close)
        stream = _Stream(arguments, source, computer, stack)
        stream.run(stopping)
    sys.stderr.write(stream.summary() + "\n")
    return 130 if stopping.wishes and not source.endless else 0


class _Stream:
    """Everything from the source to the outputs."""

    def __init__(
        self, arguments: argparse.Namespace, source: Source, computer: Computer, stack: ExitStack
    ) -> None:
        from ..sources import Capture
        from .stream_output import FeatureFile, JsonLines
        from .stream_statistics import Statistics

        self._source = source
        self._computer = computer
        self._capture = Capture(source, arguments.queue_seconds)
        self._statistics = Statistics(source.sample_rate)
        self._file: FeatureFile | None = None
        self._out: Path | None = arguments.out
        self._display: Any = None
        who = arguments.server or Path(arguments.checkpoint).name
        if arguments.out is not None:
            metadata = {
                "source": source.name,
                "computed_by": who,
                "layers": ",".join(map(str, computer.layers)),
                "chunk_ms": str(computer.chunk_ms),
            }
            shape = len(computer.layers), computer.dim
            self._file = stack.enter_context(
                FeatureFile(arguments.out, shape, arguments.save_dtype, metadata)
            )
        self._lines = JsonLines(arguments.pool) if arguments.jsonl else None
        # It draws on standard error; lines on the same terminal's standard output would run through it.
        crossed = arguments.jsonl and sys.stdout.isatty()
        if sys.stderr.isatty() and not arguments.no_display and not crossed:
            title = f"{source.name} → {who}, chunks of {computer.chunk_ms} ms (Ctrl-C ends it)"
            self._display = _display(title, self._statistics)
        if self._display is not None:
            stack.enter_context(self._display)
        stack.enter_context(self._capture)

    def run(self, stopping: Any) -> None:
        """Move audio and features until the end; whatever ends it, what was computed is written."""
        from ..errors import OutputError, StreamingWavLMError

        trouble: Exception | None = None
        try:
            self._until_the_end(stopping)
            trouble = self._capture.error
        except OutputError:
            raise
        except StreamingWavLMError as error:
            trouble = error
        if self._display is not None:
            self._show(now=True)
        if self._file is not None:
            self._file.commit()
        if trouble is not None:
            raise trouble

    def summary(self) -> str:
        """Return what to say at the end."""
        capture = self._capture
        text = self._statistics.summary(self._computer.busy, capture.drops, capture.dropped_seconds)
        return (
            f"{text}; written to {self._out}" if self._out is not None and self._statistics.frames else text
        )

    def _until_the_end(self, stopping: Any) -> None:
        live = not self._source.waits
        while not self._capture.ended and stopping.wishes < 2:
            if stopping.wishes:
                self._capture.stop()
            packet = self._capture.get(0.05) if self._computer.ready(0.05) else None
            if packet is None:
                self._take(self._computer.poll())
            else:
                self._statistics.hear(packet.samples)
                self._take(self._computer.push(packet.samples, packet.arrived if live else None))
        self._capture.stop()
        for chunks in self._computer.finish():
            self._take(chunks)
            if stopping.wishes > 1:
                return

    def _take(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            self._statistics.chunk(chunk.array.shape[1], chunk.latency)
            if self._file is not None:
                self._file.take(chunk)
            if self._lines is not None:
                self._lines.take(chunk, self._capture.dropped_seconds)
            if self._display is not None:
                self._display.chunk(chunk)
        if self._display is not None:
            self._show()

    def _show(self, *, now: bool = False) -> None:
        capture = self._capture
        self._display.update(self._computer.busy, capture.drops, capture.dropped_seconds, now=now)


def _token_of_source(arguments: argparse.Namespace, token: str | None) -> str | None:
    """Return the token to show to a source: one that was given, and not for a server."""
    return token if arguments.token_file is not None and arguments.server is None else None


def _computer(arguments: argparse.Namespace, source: Source, token: str | None) -> Computer:
    """Return the server or the model that the options ask for."""
    from ..errors import InputError
    from ..protocol import Hello
    from .stream_features import LocalModel
    from .stream_server import LiveServer

    layers = _layers(arguments.layers)
    if arguments.server is None:
        from ..heads.fit import require_fit

        model = load_engine(arguments, arguments.checkpoint)
        heads = open_heads(arguments, arguments.checkpoint) if arguments.head else []
        for head in heads:
            require_fit(head, model)
        return LocalModel(model, source.sample_rate, layers, heads)
    if arguments.head_seconds is not None:
        raise InputError("--head-seconds is for heads in this process; a server's listen as long as it says")
    if layers is None:
        raise InputError("a server has to be asked for layers by their numbers, such as --layers 0,5,11")
    if arguments.config is not None:
        raise InputError("--config is for a model in this process; a server has its own")
    hello = Hello(
        sample_rate=source.sample_rate,
        encoding="float32",
        chunk_ms=arguments.chunk_ms,
        layers=layers,
        dtype=arguments.save_dtype,
        heads=tuple(arguments.head) or None,
    )
    return LiveServer(arguments.server, hello, token)


def _display(title: str, statistics: Any) -> Any:
    """Return a display on the terminal; None where rich is not installed."""
    try:
        from rich.console import Console
    except ImportError:
        sys.stderr.write('to watch it, install rich: pip install "streaming-wavlm[live]"\n')
        return None
    from .stream_display import Display

    return Display(Console(stderr=True), title, statistics)


def _layers(text: str) -> tuple[int, ...] | None:
    from ..errors import InputError

    if text == "all":
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--layers is all, or numbers like 0,5,11, got {text!r}") from error
