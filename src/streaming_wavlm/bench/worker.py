"""The program of a benchmark's process: calls come in and answers go out, a line each."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import IO, Any

import torch

from ..errors import StreamingWavLMError
from .ageing_subject import AgeingSubject
from .engine_subject import EngineSubject
from .peaks import PeakSubject
from .sliding import SlidingSubject

SUBJECTS: dict[str, type[Any]] = {
    "engine": EngineSubject,
    "ageing": AgeingSubject,
    "peaks": PeakSubject,
    "sliding": SlidingSubject,
}


def serve(calls: IO[str], answers: IO[str]) -> None:
    """Answer calls until there are no more.

    Args:
        calls: lines of JSON, ``[method, arguments]``; the first is ``make``.
        answers: where a line of JSON goes for each: ``answer``, or ``error`` and whether the package refused.
    """
    subject: Any = None
    for line in calls:
        method, arguments = json.loads(line)
        reply: dict[str, Any]
        try:
            if method == "make":
                if arguments["threads"] is not None:
                    torch.set_num_threads(arguments["threads"])
                subject = SUBJECTS[arguments["kind"]](**arguments["arguments"])
                reply = {"answer": None}
            else:
                reply = {"answer": getattr(subject, method)(**arguments)}
        except StreamingWavLMError as error:
            reply = {"error": str(error), "refused": True}
        except Exception as error:  # noqa: BLE001 - told to the parent, which decides
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}", "refused": False}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


def main() -> None:
    """Serve the parent; what libraries print goes to the errors, not among the answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
