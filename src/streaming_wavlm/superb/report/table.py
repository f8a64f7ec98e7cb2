"""The report in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .plan import Request
from .summary import Cell, Column, Summary
from .upstreams import twins
from .versions import joined
from .wording import NOTHING, TaskWords, latency, metric_name, number


def render(
    request: Request,
    summary: Summary,
    words: Mapping[str, TaskWords],
    facts: Mapping[str, Any],
    pictures: Mapping[str, str],
) -> str:
    """Return the report.

    Args:
        request: what was asked for.
        summary: what was found.
        words: of each task.
        facts: ``corpora``, as ``results.json`` has them.
        pictures: file beside the report → what it shows.
    """
    corpora = facts.get("corpora", {})
    parts = [
        "# SUPERB on streaming features\n",
        *_opening(request, summary),
        "## Scores\n",
        _scores(summary, words),
        _how_to_read(request, summary),
        *(f"![{what}]({name})\n" for name, what in pictures.items()),
        "## Tasks\n",
        _tasks(summary, words, corpora),
        *_rates(request, summary, words),
        "## Upstreams\n",
        _upstreams(summary),
        *_corpora(summary, words, corpora),
        *_failures(summary),
    ]
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(head), ["---"] * len(head), *map(list, rows)]
    escaped = [[text.replace("|", "\\|").replace("\n", " ") for text in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped) + "\n"


def _opening(request: Request, summary: Summary) -> Iterable[str]:
    ours = [column.upstream for column in summary.columns if column.upstream.ours]
    if any(upstream.untrained for upstream in ours):
        yield (
            "**The weights of the streaming upstreams are random and untrained: these figures show that the "
            "machinery works, and what chunks and heads do to random features, and nothing else.**\n"
        )
    seeds = "one seed" if request.seeds == 1 else f"{request.seeds} seeds"
    versions = joined(made for cell in summary.cells.values() for made in cell.versions)
    yield (
        f"Corpora: `{request.source}`. Checkpoint: `{request.ckpt or 'none'}`"
        f"{f' ({ours[0].weights})' if ours else ''}. {seeds[0].upper()}{seeds[1:]}. "
        f"{f'Made with {versions}. ' if versions else ''}The upstreams are frozen; a head and a weighted sum "
        "of the layers are trained, as SUPERB does. Made by\n"
    )
    yield f"```sh\n{request.command}\n```\n"


def _scores(summary: Summary, words: Mapping[str, TaskWords]) -> str:
    columns = summary.columns
    both = len({column.heads for column in columns}) > 1
    names = [column.upstream.name + (f", {column.heads} heads" if both else "") for column in columns]
    rows = [
        ["algorithmic latency", "", *(latency(column.upstream.latency_ms) for column in columns)],
        ["parameters", "", *(_count(column.upstream.parameters) for column in columns)],
    ]
    for task in summary.tasks:
        head = summary.head(task)
        for index in range(max(len(head), 1)):
            label = metric_name(head[index]) if head else NOTHING
            cells = [_cell(summary, task, column, index) for column in columns]
            rows.append([words[task].short if index == 0 else "", label, *cells])
    return _table(["", "", *names], rows)


def _cell(summary: Summary, task: str, column: Column, index: int) -> str:
    cell = summary.cells.get((task, column))
    if cell is None:
        return "no corpus" if task in summary.unprepared else NOTHING
    if not cell.scores:
        return "failed" if cell.failed else NOTHING  # nothing yet: it is being trained
    score = cell.scores[index]
    if score.value is None:
        return number(None)
    value = number(score.value)
    rivals = [other for other in summary.columns if other.heads == column.heads]
    if score.value == summary.best(task, index, column.heads) and len(rivals) > 1:
        value = f"**{value}**"
    if score.spread is not None:
        value += f" ± {number(score.spread)}"
    if score.low is not None and score.high is not None:
        value += f" ({number(score.low)} … {number(score.high)})"
    return value + (f" [{cell.seeds} of {cell.seeds + len(cell.failed)} seeds]" if cell.failed else "")


def _how_to_read(request: Request, summary: Summary) -> str:
    lines = [
        "Bold is the best of a row"
        + (", among heads of the same kind" if len(request.heads) > 1 else "")
        + "; ↑ higher is better, ↓ lower. In parentheses the 95 % interval by bootstrap over the test "
        "utterances or recordings, in verification over the speakers"
        + (
            ", ends averaged over the seeds, and after ± the standard deviation over the seeds."
            if request.seeds > 1
            else "."
        ),
        "Columns whose intervals overlap widely are not told apart by this test set.",
    ]
    if any(column.upstream.latency_ms is None for column in summary.columns):
        lines.append(f"The latency of S3PRL's own upstreams is not known here ({NOTHING}).")
    lines.append(
        "The latency is that of the upstream: collecting a chunk, and what the front end waits for. With "
        "heads that are not causal (see Tasks) it is not that of a whole system."
    )
    return " ".join(lines) + "\n"


def _tasks(summary: Summary, words: Mapping[str, TaskWords], corpora: Mapping[str, Any]) -> str:
    rows = []
    causal = any(column.heads == "causal" for column in summary.columns)
    for task in summary.tasks:
        told, facts, chance = words[task], corpora.get(task, {}), summary.guessing(task)
        rows.append(
            [
                told.short,
                f"{told.title} (`{task}`)",
                _counts(facts.get("counts", {})),
                NOTHING if chance is None else number(chance),
                "yes" if told.causal else "no",
                told.causality,
                *([latency(summary.causal_ms.get(task))] if causal else []),
            ]
        )
    head = ["", "task", "data", "chance", "published head causal", "why"]
    text = _table([*head, *(["a causal head adds"] if causal else [])], rows)
    if causal:
        text += (
            "\nCausal heads: the same tasks with unidirectional recurrent layers and running pooling; the "
            "latency of the whole system is the upstream's and what the head adds, as the picture has it.\n"
        )
    return text


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {split}" for split, count in counts.items()) or NOTHING


def _rates(request: Request, summary: Summary, words: Mapping[str, TaskWords]) -> Iterable[str]:
    if not request.rates:
        return
    tried = ", ".join(f"{rate:g}" for rate in request.rates)
    yield "## Learning rates\n"
    yield (
        f"Of {tried}, the one with the best score on the dev split during training with the first seed; the "
        "test split has no say. In the table, the rate chosen and its dev score by S3PRL's own measure.\n"
    )
    rows = []
    for task in summary.tasks:
        row = [words[task].short]
        for column in summary.columns:
            cell = summary.cells.get((task, column))
            row.append(_rate(cell, summary.searched.get((task, column), ())))
        rows.append(row)
    both = len(request.heads) > 1
    yield _table(
        ["", *(c.upstream.name + (f", {c.heads} heads" if both else "") for c in summary.columns)], rows
    )


def _rate(cell: Cell | None, tried: Sequence[Any]) -> str:
    if cell is None or cell.rate is None:
        return NOTHING
    dev = next((record.dev for record in tried if record.rate == cell.rate), None)
    return f"{cell.rate:g}" + (f" ({dev:.4g})" if dev is not None else "")


def _upstreams(summary: Summary) -> str:
    seen = {column.upstream.name: column.upstream for column in summary.columns}
    rows = [
        [
            f"`{upstream.name}`", latency(upstream.latency_ms), _count(upstream.parameters),
            upstream.weights, f"`{upstream.digest}`" if upstream.digest else NOTHING,
        ]
        for upstream in seen.values()
    ]  # fmt: skip
    text = _table(["upstream", "algorithmic latency", "parameters", "weights", "digest"], rows)
    for name, other in twins(seen).items():
        text += f"\n`{name}` is the same model as `{other}` here: trained and scored once.\n"
    return text


def _count(parameters: int | None) -> str:
    if parameters is None:
        return NOTHING
    return f"{parameters / 1e6:.1f} M" if parameters >= 1e5 else str(parameters)


def _corpora(summary: Summary, words: Mapping[str, TaskWords], corpora: Mapping[str, Any]) -> Iterable[str]:
    lines = []
    for task in summary.tasks:
        facts = corpora.get(task, {})
        said = list(facts.get("notes", ()))
        skipped = {reason: count for reason, count in facts.get("skipped", {}).items() if count}
        if skipped:
            said.append("left out: " + ", ".join(f"{count} × {reason}" for reason, count in skipped.items()))
        lines += [f"- {words[task].short}: {_sentence(note)}" for note in said]
    if lines:
        yield "## Notes on the corpora\n"
        yield "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?")) else text + "."


def _failures(summary: Summary) -> Iterable[str]:
    if not summary.unprepared and not summary.failures:
        return
    yield "## What failed\n"
    for task, reason in summary.unprepared.items():
        yield f"- `{task}` has no corpus:\n{_quoted(reason)}"
    for record in summary.failures:
        rate = f", learning rate {record.rate:g}" if record.rate is not None else ""
        yield (
            f"- `{record.task}` on `{record.upstream}`, {record.heads} heads, seed {record.seed}{rate} "
            f"(in `{record.folder}`):\n{_quoted(record.reason)}"
        )


def _quoted(text: str) -> str:
    return "\n  ```text\n" + "\n".join(f"  {line}" for line in text.splitlines()) + "\n  ```\n"
