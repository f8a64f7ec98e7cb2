"""Corpora of enhancement and separation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...config import SAMPLE_RATE
from ...errors import SuperbError
from .audio import frames, read_lines, require_audio

Config = Mapping[str, Any]


def examine_enhancement(config: Config) -> tuple[str, ...]:
    """Look at the lists of ``enhancement_stft``; S3PRL resamples what has another rate."""
    return _examine(config, None)


def examine_separation(config: Config) -> tuple[str, ...]:
    """Look at the lists of ``separation_stft``."""
    return _examine(config, SAMPLE_RATE)


def _examine(config: Config, rate: int | None) -> tuple[str, ...]:
    expert = config["downstream_expert"]
    heard, wanted = expert["datarc"]["src"], expert["datarc"]["tgt"]
    for split in ("train", "dev", "test"):
        folder = Path(expert["loaderrc"][f"{split}_dir"])
        lists = {part: _scp(folder / part / "wav.scp") for part in [*heard, *wanted]}
        names = set(lists[heard[0]])
        for part, places in lists.items():
            if set(places) != names:
                name = sorted(set(places) ^ names)[0]
                raise SuperbError(f"{name} is not in both {heard[0]}/wav.scp and {part}/wav.scp of {folder}")
            require_audio([Path(place) for place in places.values()], f"{split} ({part})", rate=rate)
        _require_equal_lengths(lists, sorted(names))
    return ()


def _require_equal_lengths(lists: Mapping[str, Mapping[str, str]], names: list[str]) -> None:
    for name in names[:: -(-len(names) // 500)]:
        lengths = {part: frames(Path(places[name])) for part, places in lists.items()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{count} in {part}" for part, count in lengths.items())
            raise SuperbError(
                f"{name} has different numbers of samples: {said}; a mixture and its parts are as long"
            )


def _scp(path: Path) -> dict[str, str]:
    lines = [line.split() for line in read_lines(path, f"the list {path.parent.name}/wav.scp")]
    broken = [line for line in lines if len(line) != 2]
    if broken:
        raise SuperbError(
            f"{path} has a line that is not a name and a path without spaces: {' '.join(broken[0])!r}"
        )
    return dict(lines)
