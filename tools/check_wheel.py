"""Build the wheel, install it into an empty environment, and run the README's Python from there."""

from __future__ import annotations

import argparse
import logging
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
logger = logging.getLogger("check_wheel")

# What the README's reader has and a fresh environment lacks: a full-size checkpoint of their own.
PRELUDE = """
import torch
from streaming_wavlm import StreamingWavLM, StreamingWavLMConfig
torch.manual_seed(0)
model = StreamingWavLM(StreamingWavLMConfig.preset("large"))
torch.save({"student_state_dict": model.half().state_dict(), "step": 1}, "checkpoint.pt")
"""


def readme_blocks() -> list[str]:
    """Return the Python blocks of the README, in order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def run(*command: str | Path, cwd: Path | None = None) -> None:
    """Run a command, showing what is run; a failure ends the check."""
    logger.info("$ %s", " ".join(map(str, command))[:200])
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, env=environment)


def main() -> int:
    """Run the check."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", work, ROOT)
        (wheel,) = work.glob("*.whl")
        logger.info("%s: %.1f MiB", wheel.name, wheel.stat().st_size / 2**20)
        venv.create(work / "venv", with_pip=True)
        python = work / "venv" / "bin" / "python"
        constraints = ("--constraint", ROOT / "constraints.txt")
        run(python, "-m", "pip", "install", "--quiet", *constraints, "torch")
        run(python, "-m", "pip", "install", "--quiet", *constraints, wheel)
        blocks = readme_blocks()
        if not blocks:
            raise SystemExit("the README has no Python block")
        for index, block in enumerate([PRELUDE, *blocks]):
            script = work / f"block{index}.py"
            script.write_text(block, encoding="utf-8")
            run(python, script, cwd=work)
        command = work / "venv" / "bin" / "streaming-wavlm"
        run(command, "--version", cwd=work)
        run(command, "info", "mini", cwd=work)
    logger.info("the wheel works in an empty environment, and so do the README's %d blocks", len(blocks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
