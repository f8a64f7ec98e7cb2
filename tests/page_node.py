"""The scripts of the page in Node, around what a browser would give them, for tests."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from streaming_wavlm.serve.app import PAGE

BROWSER = Path(__file__).parent / "page_browser.js"


def found() -> bool:
    """Whether there is a Node to run them in."""
    return shutil.which("node") is not None


def run(folder: Path, script: str, browser: str = "") -> Any:
    """Return what a script gives that may import the page's files.

    Args:
        folder: an empty one.
        script: the body of an asynchronous function.
        browser: more of a browser, before anything is imported.
    """
    page = folder / "page"
    if not page.exists():
        shutil.copytree(PAGE, page)
    (page / "package.json").write_text('{"type": "module"}')
    parts = [
        BROWSER.read_text(encoding="utf-8"),
        browser,
        f"const result = await (async () => {{\n{script}\n}})();",
        'process.stdout.write("\\n" + JSON.stringify(result ?? null), () => process.exit(0));',
    ]
    (page / "test.js").write_text("\n".join(parts))
    ran = subprocess.run(["node", page / "test.js"], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])
