"""``streaming-wavlm serve``: features of many live streams over WebSockets."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .bearer import VARIABLE, add_token_option, read_token
from .heads import add_head_options, open_heads
from .options import CHECKPOINT_HELP, add_device_options, add_engine_options, load_engine, new_parser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..serve import Service

logger = logging.getLogger(__name__)

# Name, default and meaning of each field of serve.Limits, which loads torch and cannot be asked for --help.
LIMITS: tuple[tuple[str, int | float, str], ...] = (
    ("streams", 64, "connections at a time; one more is answered with HTTP 503"),
    ("packet_bytes", 2**20, "the longest message of a client"),
    ("buffer_seconds", 30.0, "audio of a stream that may wait for the model; then its packets are not read"),
    ("rate", 16.0, "audio per second of a stream, as a multiple of real time; faster packets wait"),
    ("burst_seconds", 30.0, "audio that a stream may send at once before the rate counts"),
    ("outbox_bytes", 64 * 2**20, "features that may wait for a client to read them; then it is closed"),
    ("send_seconds", 10.0, "the longest that sending one message may take"),
    ("hello_seconds", 10.0, "time to say hello"),
    ("idle_seconds", 60.0, "time without a message after which a stream is closed"),
    ("stream_seconds", 24 * 3600.0, "audio of a stream, from its first sample on"),
    ("batch", 32, "streams in one step of the model"),
    ("wait_ms", 4.0, "how long a chunk waits for company, while other streams are open"),
    ("parked", 64, "streams whose connection was lost, kept for their clients to come back"),
    ("parked_seconds", 60.0, "how long they are kept"),
    ("parked_bytes", 2**30, "memory that they may take, all together; then the oldest is given up"),
    ("replay_bytes", 16 * 2**20, "features per stream that are kept in case they did not arrive"),
    ("drain_seconds", 10.0, "how long a server that is told to stop goes on with what it has taken"),
    ("stats_seconds", 2.0, "time between two messages about a stream; 0 for none"),
)

_EPILOG = """\
The page is at /, streams at /v1/stream, health at /healthz, Prometheus metrics at /metrics. SIGTERM and
Ctrl-C let the streams finish what they have begun, and end it with status 0.

examples:
  streaming-wavlm serve --checkpoint mini
  streaming-wavlm serve -k checkpoint.pt --port 8765 --chunk-ms 200,400 --threads 4
  streaming-wavlm serve -k checkpoint.pt --head result/downstream/exp
  streaming-wavlm serve -k mini --host 0.0.0.0 --token-file token --certificate cert.pem --key key.pem
"""


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = new_parser(
        subparsers, "serve", "serve features of live streams, and a page to see them", _EPILOG
    )
    parser.add_argument("-k", "--checkpoint", default="mini", help=f"{CHECKPOINT_HELP} (default: mini)")
    parser.add_argument(
        "-g",
        "--config",
        metavar="FILE",
        help="YAML or JSON with config fields that the checkpoint does not state",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1, this machine)"
    )
    parser.add_argument("--port", type=_port, default=8765, help="0 for a free one (default: 8765)")
    parser.add_argument(
        "--chunk-ms",
        type=_sizes,
        default=(),
        metavar="LIST",
        help="chunk sizes to offer, the standard one first, such as 400,200 (default: the checkpoint's)",
    )
    parser.add_argument(
        "--threads", type=_positive, metavar="N", help="of the model (default: torch's choice)"
    )
    parser.add_argument(
        "--workers",
        type=_positive,
        default=1,
        metavar="N",
        help="batches computed side by side, each with its share of the threads (default: 1)",
    )
    add_head_options(parser, "sent to clients that ask (default: digits with mini; none: none)")
    parser.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="URL",
        help="whose pages may connect, beside the server's own, such as https://app.example; may be "
        "repeated, * for any",
    )
    parser.add_argument("--certificate", type=Path, metavar="PEM", help="for TLS")
    parser.add_argument("--key", type=Path, metavar="PEM", help="the certificate's private key")
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="default: text")
    add_token_option(parser)
    add_device_options(parser)
    add_engine_options(parser)
    limits = parser.add_argument_group("limits")
    for name, default, meaning in LIMITS:
        limits.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(default),
            default=default,
            metavar="N",
            help=f"{meaning} (default: {default:g})"
            if isinstance(default, float)
            else f"{meaning} (default: {default})",
        )


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    _need_libraries()
    from ..serve.access import Access
    from ..serve.origins import is_loopback
    from ..serve.run import Address, serve

    _set_up_logging(arguments.log_format)
    access = Access(read_token(arguments), tuple(arguments.origin))
    service = _service(arguments)

    address = Address(arguments.host, arguments.port, arguments.certificate, arguments.key)
    if access.token is None and not is_loopback(arguments.host):
        logger.warning(
            "anybody who reaches %s can use this server: it asks for no token; set --token-file or %s",
            arguments.host,
            VARIABLE,
        )
    try:
        with _stopped_by_signals():
            serve(service, address, access, _announce)
    except _Stop:
        logger.info("stopped")
    finally:
        service.shut_down()
    return 0


class _Stop(BaseException):
    """A signal asked to stop."""


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Make the signals raise :class:`_Stop`.

    The server takes them while it runs, drains, and raises them again when it is done.
    """

    def stop(*_: object) -> None:
        raise _Stop

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _need_libraries() -> None:
    """Require the libraries of a server.

    Raises:
        MissingDependencyError: one is not installed.
    """
    from ..errors import MissingDependencyError

    for name in ("starlette", "uvicorn", "websockets", "prometheus_client"):
        if importlib.util.find_spec(name) is None:
            raise MissingDependencyError(f'the server needs {name}: pip install "streaming-wavlm[live]"')


def _service(arguments: argparse.Namespace) -> Service:
    """Return the service of the checkpoint, within the limits."""
    import torch

    from ..serve import Limits, build_service

    limits = Limits(**{name: getattr(arguments, name) for name, _, _ in LIMITS})
    threads: int = arguments.threads or torch.get_num_threads()
    torch.set_num_threads(max(1, threads // arguments.workers))
    sizes: tuple[int, ...] = arguments.chunk_ms
    arguments.chunk_ms = sizes[0] if sizes else None
    heads = open_heads(arguments, arguments.checkpoint)
    return build_service(
        load_engine(arguments, arguments.checkpoint), sizes, limits, heads, arguments.workers
    )


def _announce(url: str) -> None:
    print(f"listening at {url}", flush=True)


def _set_up_logging(style: str) -> None:
    """Say what the server does, with times, or as JSON."""
    if style == "json":
        from ..serve.run import JsonFormatter

        formatter: logging.Formatter = JsonFormatter()
    else:
        formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter)
    own = logging.getLogger("streaming_wavlm")
    own.setLevel(min(logging.INFO, logging.getLogger().level or logging.INFO))


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of milliseconds like 200,400") from error
    if len(set(sizes)) < len(sizes):
        raise argparse.ArgumentTypeError(f"{text!r} names a chunk size twice")
    return sizes


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)
