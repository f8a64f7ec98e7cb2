"""Child processes that have torch imported already, and may be killed."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["streaming_wavlm.distill.trainer", "torch.utils.tensorboard", "lab"])


def start(function: Callable[..., None], *arguments: Any, environment: dict[str, str] | None = None) -> Any:
    """Start ``function`` in a process of its own."""
    process = _CONTEXT.Process(target=_run, args=(function, arguments, environment or {}))
    process.start()
    return process


def start_group(function: Callable[..., None], count: int, *arguments: Any) -> list[Any]:
    """Start ``function`` in ``count`` processes, with the environment that torchrun would give them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "test",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    return [
        start(function, *arguments, environment={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]


def finish(processes: list[Any], seconds: float = 120.0) -> None:
    """Wait until all have ended well."""
    try:
        for process in processes:
            process.join(seconds)
        assert [process.exitcode for process in processes] == [0] * len(processes)
    finally:
        for process in processes:
            process.kill()


def _run(function: Callable[..., None], arguments: tuple[Any, ...], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    import torch

    torch.set_num_threads(1)
    function(*arguments)
