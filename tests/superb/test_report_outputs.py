"""What the report says: the numbers of a hand-made case, the table, the pictures."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from report_fakes import STREAMING, Fake, Told, request

from streaming_wavlm.loading import random_model
from streaming_wavlm.superb.report import curve, heat_map, loop, make
from streaming_wavlm.superb.report.records import JobRecord, ScoreRecord
from streaming_wavlm.superb.report.summary import Cell, Column, Mean, Summary, cell
from streaming_wavlm.superb.report.upstreams import Upstream, describe
from streaming_wavlm.superb.report.wording import TaskWords, latency, number
from streaming_wavlm.superb.scores import Metric, Score
from tiny import tiny_config, tiny_model


def score(value: float | None, low: float | None = 0.0, high: float | None = 1.0, **changes) -> ScoreRecord:
    usual = {"metric": "accuracy", "unit": "%", "higher_is_better": True, "units": 7}
    return ScoreRecord(value=value, low=low, high=high, **{**usual, **changes})


def record(*scores: ScoreRecord, status="done", **changes) -> JobRecord:
    usual = {"task": "voxceleb1", "upstream": "u", "heads": "published", "seed": 1, "rate": None}
    usual |= {"checkpoint": "c", "config": "c", "folder": "jobs/x", "key": "k"}
    return JobRecord(status=status, scores=scores, **{**usual, **changes})


def test_a_cell_is_the_mean_over_the_seeds() -> None:
    found = cell(
        [
            record(score(60.0, 50.0, 70.0), layers=(0.25, 0.75)),
            record(score(64.0, 56.0, 72.0), layers=(0.35, 0.65)),
            record(status="failed", reason="no disk"),
        ]
    )
    assert found.scores == (Mean("accuracy", "%", True, 62.0, 53.0, 71.0, pytest.approx(8**0.5), 7),)
    assert found.seeds == 2
    assert found.layers == pytest.approx((0.3, 0.7))
    assert [failed.reason for failed in found.failed] == ["no disk"]


def test_a_score_that_is_no_number_is_not_averaged_away() -> None:
    found = cell([record(score(60.0)), record(score(None, None, None))])
    assert (found.scores[0].value, found.scores[0].low, found.scores[0].spread) == (None, None, None)
    assert number(found.scores[0].value) == "not a number"


def test_a_score_is_kept_with_the_interval_of_its_bootstrap() -> None:
    units = np.arange(20.0)[:, None]
    kept = ScoreRecord.of(Score.of(Metric("EER", "%", False), units, lambda rows: float(rows.mean())))
    assert (kept.metric, kept.unit, kept.higher_is_better) == ("EER", "%", False)
    assert (kept.value, kept.units) == (9.5, 20)
    assert kept.low < 9.5 < kept.high
    bad = ScoreRecord.of(Score.of(Metric("EER", "%", False), units, lambda rows: float("nan")))
    assert (bad.value, bad.low, bad.high) == (None, None, None)
    assert JobRecord.from_json(json.loads(json.dumps(record(kept, layers=(0.5, 0.5)).to_json()))) == record(
        kept, layers=(0.5, 0.5)
    )


@pytest.fixture
def report(tmp_path, checkpoint):
    """Make a report and return its text."""

    def made(fake: Fake | None = None, **changes) -> str:
        make(request(tmp_path / "out", checkpoint, **changes), Told(), (fake or Fake()).tools())
        return (tmp_path / "out" / "report.md").read_text()

    return made


def rows(text: str) -> dict[str, list[str]]:
    """The rows of all tables by what their first two cells say."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return {" ".join(" ".join(line[:2]).split()): [part.strip() for part in line[2:]] for line in lines}


def test_the_table_has_a_row_for_each_metric_and_a_column_for_each_upstream(report, hub) -> None:
    text = report(upstreams=("fbank", *STREAMING))
    table = rows(text)
    assert table["algorithmic latency"] == ["–", "219.9 ms", "419.9 ms", "10.02 s"]
    assert table["parameters"] == ["0", *[str(tiny_model().num_parameters())] * 3]
    # The values are 50, and 5 more for each larger chunk; fbank comes after them in the fake.
    values = [cell.split(" ")[0] for cell in table["SID accuracy [%] ↑"]]
    assert values == ["50.0", "55.0", "60.0", "**65.0**"]
    values = [cell.split(" ")[0] for cell in table["ASR WER [%] ↓"]]
    assert values == ["50.0", "45.0", "40.0", "**35.0**"]
    assert "CER [%] ↓" in table
    low, high = table["SID accuracy [%] ↑"][0].removeprefix("50.0 (").removesuffix(")").split(" … ")
    assert 40 < float(low) < 50 < float(high) < 60


def test_the_best_is_marked_among_heads_of_the_same_kind(report) -> None:
    table = rows(report(heads=("published", "causal"), tasks=("voxceleb1",)))
    values = [cell.split(" ")[0] for cell in table["SID accuracy [%] ↑"]]
    assert values == ["55.0", "**60.0**", "51.0", "**56.0**"]
    text = report(heads=("published", "causal"), tasks=("voxceleb1",))
    assert f"{STREAMING[0]}, causal heads" in text


def test_seeds_are_averaged_and_their_spread_is_told(report) -> None:
    table = rows(report(seeds=3, tasks=("voxceleb1",)))
    assert table["SID accuracy [%] ↑"][0].startswith("56.0 ± 1.00 (")


def test_a_seed_that_failed_is_told_in_its_cell(report) -> None:
    def fails(task, upstream, options):
        if options["seed"] == 1338:
            raise RuntimeError("gone")

    table = rows(report(Fake(trouble=fails), seeds=2, tasks=("voxceleb1",)))
    assert table["SID accuracy [%] ↑"][0].endswith("[1 of 2 seeds]")


def test_the_report_says_what_figures_mean(report, checkpoint) -> None:
    text = report(seeds=2)
    assert "```sh\nstreaming-wavlm superb report\n```" in text
    table = rows(text)
    sid = table["SID speaker identification (`voxceleb1`)"]
    assert sid[:3] == ["80 train, 10 dev, 20 test", "25.0", "no"]
    assert "pools over the whole recording" in sid[3]
    assert rows(text)["ASR speech recognition (`asr`)"][1] == "–"
    assert "- SID: Speakers are simulated." in text
    assert "- SID: left out: 2 × too short." in text
    assert "corrupt" not in text
    assert "2 seeds" in text
    assert f"torch {torch.__version__}" in text
    assert f"`{describe(STREAMING[0], str(checkpoint)).digest}`" in text
    assert "## What failed" not in text


def test_results_are_those_of_the_versions_that_made_them(report, monkeypatch) -> None:
    report(tasks=("voxceleb1",))
    monkeypatch.setattr(loop, "versions", lambda: {"torch": "9.9"})
    assert "torch 9.9" not in report(tasks=("voxceleb1",))
    assert f"torch {torch.__version__} and 9.9" in report(tasks=("voxceleb1", "asr"))


def test_the_latency_of_a_causal_head_is_added(report, monkeypatch) -> None:
    drawn = {}
    draw = curve._curve

    def drawing(axes, points, shift, colour, mark):
        drawn[mark] = points
        return draw(axes, points, shift, colour, mark)

    monkeypatch.setattr(curve, "_curve", drawing)
    table = rows(report(tasks=("sv_voxceleb1",), heads=("published", "causal")))
    assert table["ASV speaker verification (`sv_voxceleb1`)"][-1] == "100 ms"
    published, causal = drawn.values()
    assert [ms for ms, _ in causal] == [ms + 100 for ms, _ in published]


def test_random_weights_are_called_random_and_others_are_not(report, tmp_path) -> None:
    assert "random and untrained" not in report(tasks=("voxceleb1",))
    random_model(tiny_config(), seed=3).save_pretrained(tmp_path / "untrained")
    text = report(tasks=("voxceleb1",), ckpt=str(tmp_path / "untrained"))
    assert "random and untrained" in text
    assert "random, seed 3, untrained" in text


def test_the_results_hold_everything(report, tmp_path) -> None:
    report(tasks=("voxceleb1",), seeds=2)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(results) == {"format", "made", "upstreams", "corpora", "jobs"}
    assert results["corpora"]["voxceleb1"]["chance"] == 0.25
    assert results["upstreams"][STREAMING[0]]["latency_ms"] == pytest.approx(219.9375)
    first = results["jobs"][0]
    assert first["scores"][0]["value"] == pytest.approx(55)
    assert first["layers"] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert first["seconds"] == 90
    assert (tmp_path / "out" / first["folder"]).is_dir()


def test_the_pictures_are_pictures(report, tmp_path) -> None:
    from matplotlib.image import imread

    text = report(tasks=("voxceleb1", "asr", "emotion", "separation_stft", "diarization", "speech_commands"))
    for name, width in (("latency.png", 1000), ("layers.png", 700)):
        picture = imread(tmp_path / "out" / name)
        assert picture.shape[1] > width
        assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 20
        assert f"]({name})" in text


def test_no_picture_is_left_of_what_is_no_longer_there(report, tmp_path, hub) -> None:
    report(tasks=("voxceleb1",))
    text = report(tasks=("voxceleb1",), upstreams=("fbank",))
    assert (tmp_path / "out" / "latency.png").exists()
    assert not (tmp_path / "out" / "layers.png").exists()
    assert "layers.png" not in text


def summary(chance: float | None = None) -> Summary:
    """Three chunks with known scores, and a baseline."""
    columns = [
        Column(Upstream(f"chunk{ms:g}", ms, 1, "w", f"d{ms:g}"), "published")
        for ms in (200.0, 800.0, 10_000.0)
    ]
    columns.append(Column(Upstream("fbank", None, 0, "none", ""), "published"))
    cells = {}
    for column, value in zip(columns, (60.0, 70.0, 80.0, 40.0), strict=True):
        mean = Mean("accuracy", "%", True, value, value - 5, value + 3, None, 9)
        cells["voxceleb1", column] = Cell((mean,), 1, (), None, (0.5, 0.2, 0.3))
    known = {} if chance is None else {"voxceleb1": chance}
    return Summary(("voxceleb1",), tuple(columns), cells, {}, {}, known)


WORDS = {"voxceleb1": TaskWords("SID", "speaker identification", False, "it pools")}


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draw, and return the figure instead of writing it."""
    kept = []
    for module in (curve, heat_map):
        monkeypatch.setattr(module, "save", lambda figure, path: kept.append(figure))

    def draw(module, what: Summary):
        assert module.draw(tmp_path / "picture.png", what, WORDS, "title")
        return kept[-1]

    return draw


def test_the_curve_is_at_the_latencies_and_values(drawn) -> None:
    axes = drawn(curve, summary()).axes[0]
    line = next(line for line in axes.lines if len(line.get_xdata()) == 3 and line.get_marker() == "o")
    assert list(line.get_xdata()) == [0.2, 0.8, 10.0]
    assert list(line.get_ydata()) == [60.0, 70.0, 80.0]
    assert axes.get_xscale() == "log"
    bars = axes.collections[0].get_segments()
    assert [tuple(bar[:, 1]) for bar in bars] == [(55.0, 63.0), (65.0, 73.0), (75.0, 83.0)]
    baseline = [line for line in axes.lines if list(line.get_ydata()) == [40.0, 40.0]]
    assert len(baseline) == 1
    assert axes.get_title(loc="left") == "SID"
    assert axes.get_title(loc="right") == "head not causal"


def test_guessing_is_a_line_where_it_is_near_and_words_where_it_is_far(drawn) -> None:
    near = drawn(curve, summary(chance=0.3)).axes[0]
    assert any(list(line.get_ydata()) == [30.0, 30.0] for line in near.lines)
    far = drawn(curve, summary(chance=-2.0)).axes[0]
    assert [text.get_text() for text in far.texts] == ["guessing: -200.0"]
    assert far.get_ylim()[0] > 0


def test_labels_do_not_overlap(drawn) -> None:
    drawing = drawn(curve, summary(chance=0.3))
    drawing.draw_without_rendering()
    labels = [text for text in drawing.axes[0].get_xticklabels() if text.get_text()]
    boxes = [text.get_window_extent() for text in labels]
    boxes += [drawing.axes[0].xaxis.label.get_window_extent(), drawing.legends[0].get_window_extent()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_heat_map_has_the_weights(drawn) -> None:
    axes = drawn(heat_map, summary()).axes
    assert axes[0].images[0].get_array().tolist() == [[50.0, 20.0, 30.0]]
    assert [text.get_text() for text in axes[0].texts] == ["50", "20", "30"]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["SID"]
    assert axes[0].get_title() == "chunk200 (200 ms)"


def test_a_model_with_two_names_is_drawn_once(drawn) -> None:
    plain = summary()
    second = Column(replace(plain.columns[0].upstream, name="again"), "published")
    cells = {**plain.cells, ("voxceleb1", second): plain.cells["voxceleb1", plain.columns[0]]}
    axes = drawn(heat_map, replace(plain, columns=(*plain.columns, second), cells=cells)).axes
    titles = [panel.get_title() for panel in axes if panel.images]
    assert titles == [panel.get_title() for panel in drawn(heat_map, plain).axes if panel.images]
    assert len(titles) == len(plain.columns)
    assert not any(title.startswith("again") for title in titles)


def test_nothing_to_draw_is_no_picture(tmp_path) -> None:
    empty = Summary(("voxceleb1",), summary().columns, {}, {}, {}, {})
    for module in (curve, heat_map):
        assert not module.draw(tmp_path / "x.png", empty, WORDS, "title")
    assert list(tmp_path.iterdir()) == []


def test_colours_are_told_apart_without_colour() -> None:
    """Okabe's and Ito's colours, whose lightness differs too."""

    def lightness(colour: str) -> float:
        red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2

    assert abs(lightness(curve._BLUE) - lightness(curve._ORANGE)) > 0.05


def test_figures_have_the_digits_they_need() -> None:
    assert [number(value) for value in (0.0, 2.556, 9.99, 62.31, -0.1)] == [
        "0.00",
        "2.56",
        "9.99",
        "62.3",
        "-0.10",
    ]
    assert [latency(value) for value in (None, 200.0, 219.9375, 1000.0, 10_019.9375)] == [
        "–", "200 ms", "219.9 ms", "1 s", "10.02 s",
    ]  # fmt: skip
