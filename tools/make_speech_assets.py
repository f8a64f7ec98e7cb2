"""Select the speech that the package ships, from a folder of the decoded Asterisk core sounds.

The source folder holds ``manifest.tsv`` (columns id, path, speaker, language, prompt, seconds) and the clips
it lists, 16 kHz mono Ogg/Opus, made from the G.722 files of Debian's packages
``asterisk-core-sounds-{en,es,fr,it,ru}-g722`` 1.6.1-1. The same folder always gives the same selection:

    python tools/make_speech_assets.py path/to/asterisk src/streaming_wavlm/assets/speech

Every language gets the same prompts: numbers, letters, days, months, two long recordings, then whole
sentences in an order drawn by hashing their names, as many as the byte budget holds.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from string import ascii_lowercase

import soundfile

LANGUAGES = ("en", "es", "fr", "it", "ru")
BUDGET = 6_300_000  # bytes of audio; the whole folder has to stay under 8 MiB
LONG = ("demo-congrats", "demo-echotest")  # 20 to 40 s each
LONGEST = ("en", "demo-instruct")  # 73 s
TONES = {"ascending-2tone", "beep", "beeperr", "confbridge-join", "confbridge-leave", "descending-2tone"}
NOT_SPEECH = TONES | {"tt-monkeys"}
SENTENCE_SECONDS = (1.5, 12.0)

Row = dict[str, str]


def labelled_prompts() -> list[str]:
    """Return the prompts that are single known words: numbers, letters, days and months."""
    numbers = [*range(21), *range(30, 100, 10)]
    return [
        *(f"digits-{number}" for number in numbers),
        *(f"letters-{letter}" for letter in ascii_lowercase),
        *(f"digits-day-{day}" for day in range(7)),
        *(f"digits-mon-{month}" for month in range(12)),
    ]


def select(rows: Iterable[Row], sizes: dict[str, int]) -> list[Row]:
    """Return the rows to ship, sorted by language and prompt."""
    table = {(row["language"], row["prompt"]): row for row in rows}
    chosen = [table[language, prompt] for prompt in (*labelled_prompts(), *LONG) for language in LANGUAGES]
    chosen.append(table[LONGEST])
    taken = {row["prompt"] for row in chosen}
    used = sum(sizes[row["id"]] for row in chosen)
    shortest, longest = SENTENCE_SECONDS
    for prompt in sorted({prompt for _, prompt in table} - taken - NOT_SPEECH, key=_order):
        group = [table[language, prompt] for language in LANGUAGES if (language, prompt) in table]
        if len(group) < len(LANGUAGES) or not all(
            shortest <= float(row["seconds"]) <= longest for row in group
        ):
            continue
        cost = sum(sizes[row["id"]] for row in group)
        if used + cost <= BUDGET:
            chosen.extend(group)
            used += cost
    return sorted(chosen, key=lambda row: (row["language"], row["prompt"]))


def _order(prompt: str) -> str:
    return hashlib.sha256(prompt.encode()).hexdigest()


def main() -> int:
    """Copy the selection and write its manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    source: Path = arguments.source
    target: Path = arguments.target
    with (source / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    files = {row["id"]: source.parent / row["path"] for row in rows}
    chosen = select(rows, {key: path.stat().st_size for key, path in files.items()})
    for language in LANGUAGES:
        shutil.rmtree(target / language, ignore_errors=True)
    lines = ["id\tpath\tspeaker\tlanguage\tprompt\tsamples\tsha256"]
    for row in chosen:
        relative = Path(row["language"], f"{row['prompt']}.opus")
        copy = target / relative
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files[row["id"]], copy)
        samples = soundfile.info(str(copy)).frames
        digest = hashlib.sha256(copy.read_bytes()).hexdigest()[:16]
        name = f"{row['language']}-{row['prompt']}"
        labels = (row["speaker"], row["language"], row["prompt"])
        lines.append("\t".join([name, relative.as_posix(), *labels, str(samples), digest]))
    (target / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(chosen)} clips, {sum(files[row['id']].stat().st_size for row in chosen)} bytes\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
