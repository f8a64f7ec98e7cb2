"""The loop of the report: what is run, what is run again, and what a failure costs."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import soundfile
import torch
from report_fakes import STREAMING, Fake, Told, request

from streaming_wavlm.errors import CheckpointNotFoundError, SuperbError
from streaming_wavlm.files import replacing
from streaming_wavlm.superb.corpora import prepare
from streaming_wavlm.superb.report import ledger, make
from streaming_wavlm.superb.report.estimate import seconds_left, words
from streaming_wavlm.superb.report.ledger import Ledger
from streaming_wavlm.superb.report.plan import Group
from streaming_wavlm.superb.report.records import JobRecord
from tiny import tiny_model


@pytest.fixture
def asked(tmp_path, checkpoint):
    """A request with some of its options changed."""
    return lambda **changes: request(checkpoint=checkpoint, **{"out": tmp_path / "out", **changes})


def results(asked) -> dict:
    return json.loads((asked().out / "results.json").read_text())


def done(asked) -> list[str]:
    return [job["key"] for job in results(asked)["jobs"] if job["status"] == "done"]


def test_each_task_is_run_on_each_upstream(asked, tmp_path) -> None:
    fake, told = Fake(), Told()
    outcome = make(asked(threads=2, device="cpu", override={"config.a": 1}), told, fake.tools())
    assert [call[:2] for call in fake.calls] == [
        (task, upstream) for task in ("voxceleb1", "asr") for upstream in STREAMING[:2]
    ]
    options = fake.calls[0][2]
    assert options["config"] == tmp_path / "out/corpora/voxceleb1/config.yaml"
    assert (options["threads"], options["device"], options["override"]) == (2, "cpu", {"config.a": 1})
    assert (options["seed"], options["heads"]) == (1337, "published")
    assert options["ckpt"] == asked().ckpt
    assert outcome.failed == ()
    assert {path.name for path in outcome.files} == {"results.json", "report.md", "latency.png", "layers.png"}
    assert told.updates[-1] == (4, 4, "")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_model_under_two_names_is_trained_once(asked, tmp_path, jobs) -> None:
    config = tmp_path / "model.yaml"
    config.write_text("chunk_ms: 400\n")
    names = ("streaming_wavlm", "streaming_wavlm_200ms", "streaming_wavlm_400ms")
    fake, told = Fake(), Told()
    make(asked(upstreams=names, model_config=str(config), jobs=jobs), told, fake.tools())
    assert {call[1] for call in fake.calls} == set(names[:2])
    assert told.updates[-1] == (4, 4, "")
    text = (asked().out / "report.md").read_text()
    assert "`streaming_wavlm_400ms` is the same model as `streaming_wavlm` here" in text
    row = next(line for line in text.splitlines() if line.startswith("| SID |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2] == cells[4] != cells[3]
    config.write_text("chunk_ms: 800\n")
    other = Fake()
    make(asked(upstreams=names, model_config=str(config), out=tmp_path / "other"), Told(), other.tools())
    assert {call[1] for call in other.calls} == set(names)


def test_the_checkpoint_is_for_our_upstreams_only(asked, hub) -> None:
    fake = Fake()
    make(asked(upstreams=("fbank", STREAMING[0]), tasks=("voxceleb1",)), Told(), fake.tools())
    assert [call[2]["ckpt"] for call in fake.calls] == [None, asked().ckpt]


def test_what_is_done_is_not_done_again(asked) -> None:
    make(asked(), Told(), Fake().tools())
    again, told = Fake(), Told()
    outcome = make(asked(), told, again.tools())
    assert again.calls == []
    assert outcome.failed == ()
    assert len(results(asked)["jobs"]) == 4


@pytest.mark.parametrize("kill_at", [0, 1, 3])
def test_a_kill_costs_the_task_in_hand_only(asked, kill_at) -> None:
    class Killed(BaseException):
        pass

    first = Fake()

    def killed(*_):
        if len(first.calls) > kill_at:
            raise Killed

    first.trouble = killed
    with pytest.raises(Killed):
        make(asked(), Told(), first.tools())
    assert len(done(asked)) == kill_at
    second = Fake()
    make(asked(), Told(), second.tools())
    assert len(second.calls) == 4 - kill_at
    assert second.calls[0][:2] == first.calls[-1][:2]
    # It is the same folder, so that the training in it goes on.
    assert second.calls[0][2]["folder"] == first.calls[-1][2]["folder"]
    assert len(done(asked)) == 4


def test_a_report_that_was_killed_by_the_system_goes_on(asked) -> None:
    fake = Fake()

    def kill(*_):
        if len(fake.calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    fake.trouble = kill
    process = multiprocessing.get_context("fork").Process(target=make, args=(asked(), Told(), fake.tools()))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len(done(asked)) == 2
    again = Fake()
    assert make(asked(), Told(), again.tools()).failed == ()
    assert len(again.calls) == 2


def test_a_kill_while_the_results_are_written_leaves_those_of_before(asked, monkeypatch) -> None:
    make(asked(tasks=("voxceleb1",)), Told(), Fake().tools())
    before = done(asked)

    @contextmanager
    def interrupted(path):
        with replacing(path) as temporary:
            temporary.write_text("{")
            raise KeyboardInterrupt
            yield

    monkeypatch.setattr(ledger, "replacing", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(asked(), Told(), Fake().tools())
    assert done(asked) == before
    assert list(asked().out.rglob("*.tmp")) == []


def test_a_failing_task_is_told_and_the_rest_goes_on(asked) -> None:
    def fails(task, upstream, options):
        if task == "voxceleb1" and upstream == STREAMING[0]:
            raise SuperbError("`superb run` failed with status 1; at the end:\nline 1\nRuntimeError: no disk")

    fake, told = Fake(trouble=fails), Told()
    outcome = make(asked(), told, fake.tools())
    assert len(fake.calls) == 4
    assert outcome.failed == (f"voxceleb1 on {STREAMING[0]}, published heads, seed 1337",)
    assert told.said == [f"voxceleb1, {STREAMING[0]}, seed 1337 failed: RuntimeError: no disk"]
    report = (asked().out / "report.md").read_text()
    assert "RuntimeError: no disk" in report
    assert "| failed |" in report
    again = Fake()
    assert make(asked(), Told(), again.tools()).failed == ()
    assert [call[:2] for call in again.calls] == [("voxceleb1", STREAMING[0])]
    assert "no disk" not in (asked().out / "report.md").read_text()


def test_an_error_that_nobody_expected_is_a_failure_too(asked) -> None:
    def fails(task, upstream, options):
        raise ZeroDivisionError("in a score")

    outcome = make(asked(), Told(), Fake(trouble=fails).tools())
    assert len(outcome.failed) == 4
    assert "ZeroDivisionError: in a score" in (asked().out / "report.md").read_text()
    assert not (asked().out / "latency.png").exists()


def test_a_task_without_a_corpus_is_told_and_the_rest_goes_on(asked) -> None:
    fake, told = Fake(no_corpus=("voxceleb1",)), Told()
    outcome = make(asked(), told, fake.tools())
    assert {call[0] for call in fake.calls} == {"asr"}
    assert outcome.failed == ("voxceleb1: no corpus",)
    assert "get it from its authors" in told.said[0]
    report = (asked().out / "report.md").read_text()
    assert "`voxceleb1` has no corpus" in report
    assert "get it from its authors" in report
    assert told.updates[-1][:2] == (4, 4)


def test_another_checkpoint_config_override_or_head_is_another_job(asked, tmp_path) -> None:
    make(asked(tasks=("voxceleb1",)), Told(), Fake().tools())
    other = tmp_path / "other.pt"
    torch.save(tiny_model(seed=5, dtype=torch.float32).state_dict(), other)
    for changes, fake in (
        ({"ckpt": str(other)}, Fake()),
        ({}, Fake(config="runner: {total_steps: 9}\n")),
        ({"override": {"config.runner.total_steps": 5}}, Fake()),
        ({"heads": ("causal",)}, Fake()),
        ({"model_config": {"window_size": 16}}, Fake()),
    ):
        make(asked(tasks=("voxceleb1",), **changes), Told(), fake.tools())
        assert len(fake.calls) == 2, changes
    # Going back costs nothing.
    back = Fake()
    make(asked(tasks=("voxceleb1",)), Told(), back.tools())
    assert back.calls == []


def test_another_corpus_under_the_same_config_is_another_job(asked, tmp_path) -> None:
    table = tmp_path / "speech.tsv"
    rng, lines = np.random.default_rng(0), ["id\tpath\tsplit\tspeaker"]
    for speaker, split, number in product("abc", ("train", "dev", "test"), range(2)):
        name = f"{speaker}-{split}-{number}"
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.normal(size=16000), 16000)
        lines.append(f"{name}\t{name}.wav\t{split}\t{speaker}")
    told = {"tasks": ("voxceleb1",), "upstreams": ("streaming_wavlm_200ms",), "source": str(table)}
    for count, expected in ((13, 1), (13, 0), (19, 1)):
        table.write_text("\n".join(lines[:count]) + "\n")
        shutil.rmtree(tmp_path / "out" / "corpora", ignore_errors=True)
        fake = Fake()
        make(asked(**told), Told(), replace(fake.tools(), prepare=prepare))
        assert len(fake.calls) == expected
    fake = Fake()
    shutil.rmtree(tmp_path / "out" / "corpora")
    make(asked(**{**told, "source": "embedded"}), Told(), replace(fake.tools(), prepare=prepare))
    assert len(fake.calls) == 1


def test_the_same_weights_in_another_file_or_folder_are_the_same_job(asked, tmp_path, checkpoint) -> None:
    make(asked(), Told(), Fake().tools())
    copy = tmp_path / "copy.pt"
    copy.write_bytes(checkpoint.read_bytes())
    (tmp_path / "out").rename(tmp_path / "moved")
    again = Fake()
    make(asked(ckpt=str(copy), out=tmp_path / "moved"), Told(), again.tools())
    assert again.calls == []


def test_more_seeds_are_added_to_those_that_are_there(asked) -> None:
    make(asked(tasks=("voxceleb1",)), Told(), Fake().tools())
    more = Fake()
    make(asked(tasks=("voxceleb1",), seeds=3), Told(), more.tools())
    assert [call[2]["seed"] for call in more.calls] == [1338, 1339] * 2


def test_the_learning_rate_is_chosen_by_the_dev_split(asked) -> None:
    fake, told = Fake(dev=lambda rate: {1e-1: 0.2, 1e-2: 0.7, 1e-3: 0.4}[rate]), Told()
    rates = (1e-1, 1e-2, 1e-3)
    make(asked(tasks=("voxceleb1",), seeds=2, rates=rates), told, fake.tools())
    tried = [(call[2]["override"]["config.optimizer.lr"], call[2]["seed"]) for call in fake.calls[:4]]
    assert tried == [(1e-1, 1337), (1e-2, 1337), (1e-3, 1337), (1e-2, 1338)]
    assert len(fake.calls) == 8
    assert told.updates[-1] == (8, 8, "")
    report = (asked().out / "report.md").read_text()
    assert "| SID | 0.01 (0.7) | 0.01 (0.7) |" in report
    dev = {job["rate"]: job["dev"] for job in results(asked)["jobs"] if job["seed"] == 1337}
    assert dev == pytest.approx({1e-1: 0.2, 1e-2: 0.7, 1e-3: 0.4})
    assert len(results(asked)["jobs"]) == 8


def test_a_rate_that_fails_does_not_end_the_search(asked) -> None:
    def fails(task, upstream, options):
        if options["override"]["config.optimizer.lr"] == 1e-1:
            raise SuperbError("the loss is not finite")

    fake = Fake(dev=lambda rate: rate, trouble=fails)
    outcome = make(asked(tasks=("voxceleb1",), rates=(1e-1, 1e-2, 1e-3)), Told(), fake.tools())
    report = (asked().out / "report.md").read_text()
    assert "0.01 (0.01)" in report
    # The table has a winner, and what failed is told all the same.
    assert len(outcome.failed) == 2
    assert "learning rate 0.1" in report
    assert "the loss is not finite" in report


def test_a_rate_that_was_trained_before_takes_part_in_the_search(asked) -> None:
    fake = Fake(dev=lambda rate: rate)
    plain = {"tasks": ("voxceleb1",), "upstreams": ("streaming_wavlm_200ms",)}
    make(asked(**plain, override={"config.optimizer.lr": 1e-1}), Told(), fake.tools())
    outcome = make(asked(**plain, rates=(1e-1, 1e-2)), Told(), fake.tools())
    assert len(fake.calls) == 2
    assert outcome.failed == ()
    assert "| SID | 0.1 (0.1) |" in (asked().out / "report.md").read_text()


def test_a_rate_of_before_whose_training_is_gone_is_told_and_its_score_stays(asked) -> None:
    fake = Fake(dev=lambda rate: rate)
    plain = {"tasks": ("voxceleb1",), "upstreams": ("streaming_wavlm_200ms",)}
    make(asked(**plain, override={"config.optimizer.lr": 1e-1}), Told(), fake.tools())
    shutil.rmtree(asked().out / "jobs")
    outcome = make(asked(**plain, rates=(1e-1, 1e-2)), Told(), fake.tools())
    assert len(outcome.failed) == 1
    assert make(asked(**plain, override={"config.optimizer.lr": 1e-1}), Told(), fake.tools()).failed == ()
    assert len(fake.calls) == 2


def test_what_failed_under_two_names_is_told_once(asked) -> None:
    def fails(task, upstream, options):
        raise SuperbError("no")

    names = ("streaming_wavlm", "streaming_wavlm_400ms")
    outcome = make(asked(tasks=("voxceleb1",), upstreams=names), Told(), Fake(trouble=fails).tools())
    assert len(outcome.failed) == 1


def test_results_of_another_format_are_not_called_damaged(asked) -> None:
    asked().out.mkdir()
    (asked().out / "results.json").write_text('{"format": 99, "jobs": [{"new": 1}]}')
    with pytest.raises(SuperbError, match="has format 99, this version reads 1"):
        make(asked(), Told(), Fake().tools())


def test_a_search_without_a_dev_score_fails_with_a_reason(asked) -> None:
    outcome = make(asked(tasks=("voxceleb1",), rates=(1e-1, 1e-2)), Told(), Fake().tools())
    assert len(outcome.failed) == 4
    assert "has no score acc on a dev split" in (asked().out / "report.md").read_text()


def test_the_jobs_keep_features_and_the_environment_is_as_it_was(asked, monkeypatch) -> None:
    seen = []

    def look(*_):
        seen.append({name: os.environ.get(f"STREAMING_WAVLM_FEATURES{name}") for name in ("", "_GB")})

    monkeypatch.setenv("STREAMING_WAVLM_FEATURES", "mine")
    make(asked(features_gb=1.5), Told(), Fake(trouble=look).tools())
    assert seen == [{"": str((asked().out / "features").resolve()), "_GB": "1.5"}] * 4
    assert os.environ["STREAMING_WAVLM_FEATURES"] == "mine"
    assert "STREAMING_WAVLM_FEATURES_GB" not in os.environ
    seen.clear()
    make(asked(features_gb=0, heads=("causal",)), Told(), Fake(trouble=look).tools())
    assert seen == [{"": None, "_GB": None}] * 4


def test_jobs_run_side_by_side_and_the_first_of_a_task_is_over_before_the_others(asked) -> None:
    both, over, early = threading.Barrier(2), set(), []

    def meet(task, upstream, options):
        assert options["threads"] == max(1, (os.cpu_count() or 1) // 2)
        both.wait(20)  # one alone would wait for ever
        if upstream == STREAMING[0]:
            over.add(task)
        elif task not in over:
            early.append((task, upstream))

    fake, told = Fake(trouble=meet), Told()
    outcome = make(asked(jobs=2, upstreams=STREAMING), told, fake.tools())
    assert outcome.failed == ()
    assert early == []
    assert sorted(call[:2] for call in fake.calls) == sorted(
        (task, upstream) for task in ("voxceleb1", "asr") for upstream in STREAMING
    )
    assert len(done(asked)) == 6
    assert told.updates[-1] == (6, 6, "")
    alone = asked(out=asked().out.with_name("alone"), upstreams=STREAMING)
    make(alone, Told(), Fake().tools())
    told_apart = [(asked().out / "report.md").read_text(), (alone.out / "report.md").read_text()]
    assert told_apart[0] == told_apart[1]


def test_what_is_still_being_trained_has_not_failed(asked) -> None:
    report, other_is_over, interim = asked().out / "report.md", threading.Event(), []

    def wait(task, upstream, options):
        if task == "asr":
            report.unlink(missing_ok=True)
            other_is_over.set()
            deadline = time.monotonic() + 20
            while not report.exists() and time.monotonic() < deadline:  # written at the end of the other
                time.sleep(0.01)
            interim.append(report.read_text())
        else:
            assert other_is_over.wait(20)

    make(asked(jobs=2, upstreams=STREAMING[:1]), Told(), Fake(trouble=wait).tools())
    assert "failed" not in interim[0]
    assert "ASR" in interim[0]


def test_side_by_side_a_failure_is_one_jobs_and_a_search_finds_the_same(asked) -> None:
    def fails(task, upstream, options):
        if upstream == STREAMING[1]:
            raise SuperbError("no disk")

    fake = Fake(trouble=fails, dev=lambda rate: rate)
    outcome = make(asked(jobs=3, rates=(1e-1, 1e-2), tasks=("voxceleb1",)), Told(), fake.tools())
    assert len(outcome.failed) == 2
    assert len(done(asked)) == 2
    assert "| SID | 0.1 (0.1) |" in (asked().out / "report.md").read_text()


def test_an_end_from_outside_ends_the_jobs_side_by_side_and_is_no_failure_of_theirs(asked) -> None:
    class Ended(BaseException):
        pass

    two = threading.Barrier(2)

    def trouble(task, upstream, options):
        two.wait(20)
        if task == "asr":
            raise Ended
        assert options["stop"].wait(20)
        raise SuperbError("failed with status -15")

    fake, told = Fake(trouble=trouble), Told()
    with pytest.raises(Ended):
        make(asked(jobs=2), told, fake.tools())
    assert len(fake.calls) == 2
    assert results(asked)["jobs"] == []
    assert told.said == []


def test_two_reports_in_one_folder_are_refused(asked) -> None:
    def second(*_):
        with pytest.raises(SuperbError, match="another report is being made"):
            make(asked(), Told(), Fake().tools())

    make(asked(tasks=("voxceleb1",)), Told(), Fake(trouble=second).tools())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 1, "jobs": [{}]}', '{"format": 9, "jobs": []}']
)
def test_damaged_results_are_a_clear_error(asked, text) -> None:
    asked().out.mkdir(parents=True)
    (asked().out / "results.json").write_text(text)
    with pytest.raises(SuperbError, match=r"results.json .*(delete it|reads 1)"):
        make(asked(), Told(), Fake().tools())


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"ckpt": None}, CheckpointNotFoundError, "needs a checkpoint"),
        ({"tasks": ()}, SuperbError, "at least one task"),
        ({"upstreams": ()}, SuperbError, "at least one upstream"),
        ({"seeds": 0}, SuperbError, "at least one seed, got 0"),
        ({"jobs": 0}, SuperbError, "at least one job at a time, got 0"),
        ({"rates": (-1.0,)}, SuperbError, "positive number, got -1"),
        ({"features_gb": -1}, SuperbError, "0 .no cache. or more GB, got -1"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_at_once(asked, changes, error, message) -> None:
    fake = Fake()
    with pytest.raises(error, match=message):
        make(asked(**changes), Told(), fake.tools())
    assert fake.calls == []


def test_an_unknown_upstream_is_refused_with_the_nearest(asked, hub) -> None:
    with pytest.raises(SuperbError, match=r"no upstream 'fbnk'.*fbank"):
        make(asked(upstreams=("fbnk",)), Told(), Fake().tools())


def record(task: str, upstream: str, seconds: float, heads: str = "published", status="done") -> JobRecord:
    return JobRecord("k", task, upstream, heads, 1, None, "c", "c", "f", status, seconds=seconds)


def test_the_time_left_is_what_the_same_task_took_elsewhere() -> None:
    known = [record("asr", "a", 100), record("asr", "b", 300), record("voxceleb1", "a", 10)]
    waiting = [Group("asr", "c", "published"), Group("voxceleb1", "c", "published")]
    assert seconds_left(waiting, known) == 200 + 10
    assert seconds_left([Group("asr", "b", "published")], known) == 300
    # One that nobody has run yet counts as the mean of the tasks.
    assert seconds_left([Group("emotion", "a", "published")], known) == (200 + 10) / 2
    assert seconds_left(waiting, []) is None
    assert seconds_left(waiting, [record("asr", "a", 5, status="failed")]) is None
    assert seconds_left([], known) == 0


def test_the_progress_says_how_long_it_will_take(asked) -> None:
    told = Told()
    make(asked(), told, Fake().tools())
    notes = [note for _, _, note in told.updates]
    assert f"voxceleb1, {STREAMING[0]}, seed 1337, time left not known yet" in notes
    # Three jobs of a minute and a half are left.
    assert f"voxceleb1, {STREAMING[1]}, seed 1337, about 4 min left" in notes
    assert [words(seconds) for seconds in (1, 3540, 3600, 9000)] == [
        "about 1 min left", "about 59 min left", "about 1 h 00 min left", "about 2 h 30 min left",
    ]  # fmt: skip


def test_a_ledger_is_written_anew_with_every_record(tmp_path) -> None:
    with Ledger(tmp_path / "new" / "folder") as book:
        book.add(record("asr", "a", 1))
        assert len(json.loads((book.folder / "results.json").read_text())["jobs"]) == 1
    with Ledger(tmp_path / "new" / "folder") as book:
        assert book.jobs["k"] == record("asr", "a", 1)


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SuperbError, match="cannot be used"), Ledger(tmp_path / "file"):
        pass
