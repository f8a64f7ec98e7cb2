"""The shape of the code: imports point down, files stay small, importing is cheap."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import streaming_wavlm

ROOT = Path(streaming_wavlm.__file__).parent
LEVELS = [
    {"errors", "keys", "presets", "config", "config_file", "files", "pictures", "terminal"},
    {"state", "output", "checks", "checkpoint", "experiment", "protocol"},
    {"visibility", "conv", "attention", "hub", "streaming"},
    {"encoder"},
    {"model"},
    {
        "loading",
        "engines",
        "export",
        "conversion",
        "audio",
        "audio_file",
        "sample_queue",
        "ogg_opus",
        "session",
        "recordings",
        "feature_writer",
        "extract_record",
        "extract",
    },
    {"corpus", "data", "augment", "metrics"},
    {"distill", "client", "sources", "heads"},
    {"superb"},
    {"serve"},
    {"bench"},
    {"demo", "cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
FILES = sorted(path for path in ROOT.rglob("*.py") if "assets" not in path.parts)


def top(path: Path) -> str:
    """The part of the package that a file belongs to: a module, or a folder's name."""
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The parts of the package that a file imports, at its head or inside its functions."""
    package = ["streaming_wavlm", *path.relative_to(ROOT).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "streaming_wavlm" and len(parts) > 1:
                found.add(parts[1])
    return found & set(LEVEL)


def test_every_file_has_a_level() -> None:
    assert {top(path) for path in FILES} - {"__init__"} == set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path) -> None:
    own = top(path)
    if own == "__init__":
        return
    rising = {other for other in imported(path) if other != own and LEVEL[other] > LEVEL[own]}
    assert not rising, f"{own} (level {LEVEL[own]}) imports {rising} from above"


def test_an_import_that_points_up_would_be_seen(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    bad = tmp_path / "config.py"
    bad.write_text("def late():\n    from .model import StreamingWavLM\n")
    assert imported(bad) == {"model"}
    assert LEVEL["model"] > LEVEL[top(bad)]


def test_no_file_is_long() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert {name: count for name, count in lengths.items() if count > 400} == {}


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ["transformers", "s3prl", "torchaudio", "matplotlib", "rich", "librosa", "huggingface_hub"]
    code = (
        "import sys, json, streaming_wavlm as sw\n"
        "names = [getattr(sw, name) for name in sw.__all__]\n"
        f"print(json.dumps([name for name in {heavy!r} if name in sys.modules]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []


@pytest.mark.parametrize("engine", ["eager", "packed"])
def test_loading_and_streaming_do_not_load_the_compiler(engine: str) -> None:
    """torch imports it, and sympy with it, to draw weights on the meta device: a second, and 70 MiB."""
    heavy = ["sympy", "torch._dynamo", "torch._inductor"]
    code = (
        "import sys, json, torch, streaming_wavlm as sw\n"
        f"model = sw.load('mini', engine={engine!r})\n"
        "model.step(torch.zeros(1, model.config.chunk_samples), model.init_state(1))\n"
        f"print(json.dumps([name for name in {heavy!r} if name in sys.modules]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []


def test_every_public_name_exists_and_no_submodule_hides_one() -> None:
    for name in streaming_wavlm.__all__:
        assert getattr(streaming_wavlm, name) is not None
    assert not set(streaming_wavlm.__all__) & {path.stem for path in ROOT.iterdir()}
    assert set(streaming_wavlm.__all__) <= set(dir(streaming_wavlm))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = streaming_wavlm.nothing
