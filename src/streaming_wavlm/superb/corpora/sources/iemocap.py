"""IEMOCAP: the four classes of SUPERB, from the annotators' files, in five folds of one session each."""

from __future__ import annotations

import re
from pathlib import Path

from ..layouts.emotion import Row, fold_notes, write_fold
from ..workshop import Layout, Workshop, share_of_most_frequent
from .checks import lengths, require_parts

ORIGIN = "IEMOCAP is had from https://sail.usc.edu/iemocap on request"
_SESSIONS = range(1, 6)
# Excitement counts as happiness; all other annotations are left out.
_CLASSES = {"neu": "neu", "hap": "hap", "exc": "hap", "ang": "ang", "sad": "sad"}
_LINE = re.compile(r"^\[[^]]*\]\s+(\S+)\s+(\S+)\s")


def check_emotion(root: Path, shop: Workshop) -> Layout:
    """Write the lists of each fold.

    Raises:
        SuperbError: something is missing.
    """
    parts = {}
    for session in _SESSIONS:
        parts[f"Session{session}/sentences/wav"] = "its utterances"
        parts[f"Session{session}/dialog/EmoEvaluation"] = "its annotations"
    require_parts(root, "IEMOCAP", parts, ORIGIN)
    sessions = {session: _rows(root, session, shop) for session in _SESSIONS}
    chances = []
    for session, test in sessions.items():
        train = [row for other, rows in sessions.items() if other != session for row in rows]
        write_fold(shop, session, train, test)
        shop.counts[f"fold{session} train"], shop.counts[f"fold{session} test"] = len(train), len(test)
        chances.append(share_of_most_frequent(row["label"] for row in test))
    paths = {"downstream_expert.datarc.root": str(root), "downstream_expert.datarc.meta_data": "meta_data"}
    return Layout(paths, chances[0], notes=fold_notes(len(chances)))


def _rows(root: Path, session: int, shop: Workshop) -> list[Row]:
    labels = {}
    for table in sorted((root / f"Session{session}/dialog/EmoEvaluation").glob("*.txt")):
        for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
            if (match := _LINE.match(line)) and match[2] in _CLASSES:
                name = match[1]
                path = root / f"Session{session}/sentences/wav" / name.rpartition("_")[0] / f"{name}.wav"
                labels[path] = _CLASSES[match[2]]
    return [
        {"path": str(path.relative_to(root)), "label": labels[path], "speaker": path.stem[:6]}
        for path in lengths(labels, shop)
    ]
