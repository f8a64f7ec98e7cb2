"""S3PRL's experts, made to write the numbers of single utterances, and to evaluate where they would stop.

Each function changes a class of S3PRL's in memory, once; what training computes with S3PRL's own seed stays
what it was.
"""

from __future__ import annotations

import functools
import importlib
import logging
import re
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..scores import write_table
from ..scores.readers import errors

logger = logging.getLogger(__name__)
_MARK = "streaming_wavlm_records"
# What a clip counts on which the head made nothing that can be measured; SI-SDR has no end [dB].
WORST = {"pesq": 1.0, "stoi": 0.0, "si_sdr": -30.0}
# The x-vector needs 15 frames of 20 ms; one more, since a recording need not end with a frame.
_SHORTEST = 16 * 320
_LEAST = 1600
# Of S3PRL's run_downstream.py.
DEFAULT_SEED = 1337


def record_phones() -> None:
    """Write correct frames and phone errors of each test utterance; go on with the best score so far."""
    expert, new = _expert("phone_linear")
    if not new:
        return
    init, forward, log_records = expert.__init__, expert.forward, expert.log_records

    @functools.wraps(init)
    def remembering(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        log = Path(self.logging)
        if kwargs.get("init_ckpt") and log.is_file():
            # Checkpoints do not hold it, and without it the first evaluation would seem the best.
            past = re.findall(r"^best\|(libri_phone/dev-)\|step:\d+\|acc:([\d.e-]+)$", log.read_text(), re.M)
            for prefix, value in past:
                self.best[prefix] = max(self.best[prefix], float(value))

    @functools.wraps(forward)
    def watched(self: Any, mode: str, features: Any, labels: Any, records: Any, **kwargs: Any) -> Any:
        if mode != "test":
            return forward(self, mode, features, labels, records, **kwargs)
        logits: list[Any] = []
        handle = self.model.register_forward_hook(lambda _, __, out: logits.append(out))
        try:
            loss = forward(self, mode, features, labels, records, **kwargs)
        finally:
            handle.remove()
        for row, truth in zip(logits[0].argmax(dim=-1).tolist(), labels, strict=True):
            meant = truth.tolist()
            said = row[: len(meant)]
            right = sum(a == b for a, b in zip(said, meant, strict=True))
            counts = errors([(_runs(said), _runs(meant))])[0]
            records[_MARK].append((right, len(meant), *counts))
        return loss

    @functools.wraps(log_records)
    def writing(self: Any, mode: str, records: Any, *args: Any, **kwargs: Any) -> Any:
        if mode == "test":
            rows = records.pop(_MARK, [])
            columns = zip(*rows, strict=True) if rows else ([], [], [], [])
            names = ("correct", "frames", "phone_errors", "phones")
            ids = [str(i) for i in range(len(rows))]
            write_table(Path(self.logging).parent, mode, ids, dict(zip(names, columns, strict=True)))
        return log_records(self, mode, records, *args, **kwargs)

    expert.__init__, expert.forward, expert.log_records = remembering, watched, writing


def record_verification() -> None:
    """Write each test trial with its score, and judge the dev split by its own trials.

    S3PRL scores the test trials whatever the split, so that its evaluation on the dev split stops at the
    first recording which only the test split has.
    """
    expert, new = _expert("sv_voxceleb1")
    if not new:
        return
    log_records = expert.log_records

    @functools.wraps(log_records)
    def writing(self: Any, mode: str, records: Any, *args: Any, **kwargs: Any) -> Any:
        if mode == "train":
            return log_records(self, mode, records, *args, **kwargs)
        test, trials = self.test_dataset, getattr(self, f"{mode}_dataset")
        records["labels"] = [
            label for label, _, _ in trials.pair_table
        ]  # S3PRL writes them and forgot to ask
        self.test_dataset = trials
        try:
            kept = log_records(self, mode, records, *args, **kwargs)
        finally:
            self.test_dataset = test
        if mode == "test":
            targets = [float(label) for label in records["labels"]]
            scores = [float(score) for score in records["scores"]]
            numbers: dict[str, int] = {}
            pairs = [
                [numbers.setdefault(name, len(numbers)) for name in names] for _, *names in trials.pair_table
            ]
            first, second = zip(*pairs, strict=True) if pairs else ((), ())
            columns = {"target": targets, "score": scores, "first": first, "second": second}
            write_table(Path(self.expdir), mode, records["pair_names"], columns)
        return kept

    expert.log_records = writing
    _keep_short_trials(importlib.import_module("s3prl.downstream.sv_voxceleb1.dataset"))


def _keep_short_trials(module: Any) -> None:
    """Judge a recording that is too short for the head, perhaps only once its silence is cut."""
    dataset = module.SpeakerVerifi_test
    get = dataset.__getitem__

    @functools.wraps(get)
    def long_enough(self: Any, index: int) -> Any:
        wave, name = get(self, index)
        if len(wave) < _SHORTEST:
            whole, _ = module.apply_effects_file(name, module.EFFECTS[:-1])
            whole = whole.squeeze(0).numpy()
            logger.warning("%s has %.2f s of sound; it is taken with its silence", name, len(wave) / 16000)
            wave = np.resize(whole, _SHORTEST) if 0 < len(whole) < _SHORTEST else whole
        return wave, name

    dataset.__getitem__ = long_enough


def record_diarization() -> None:
    """Fill up the last chunk of a recording, of which a frame may be left: no filterbank takes so little."""
    _, new = _expert("diarization")
    if not new:
        return
    dataset = importlib.import_module("s3prl.downstream.diarization.dataset").DiarizationDataset
    get = dataset._get_labeled_speech

    @functools.wraps(get)
    def long_enough(self: Any, *args: Any, **kwargs: Any) -> Any:
        wave, *labels = get(self, *args, **kwargs)
        # The features are cut to the labels, which stay as they are.
        return (np.pad(wave, (0, max(0, _LEAST - len(wave)))), *labels)

    dataset._get_labeled_speech = long_enough


def seed_emotion() -> None:
    """Have the seed of a run count: S3PRL draws the dev split by another, and goes on with that one.

    With its own default seed S3PRL is left as it is.
    """
    expert, new = _expert("emotion")
    if not new:
        return
    module = importlib.import_module(expert.__module__)
    init, split = expert.__init__, module.__dict__["random_split"]

    @functools.wraps(init)
    def seeded(self: Any, *args: Any, **kwargs: Any) -> None:
        seed = torch.initial_seed()

        def splitting(*parts: Any) -> Any:
            found = split(*parts)
            if seed != DEFAULT_SEED:
                torch.manual_seed(seed)
            return found

        module.__dict__["random_split"] = splitting
        try:
            init(self, *args, **kwargs)
        finally:
            module.__dict__["random_split"] = split

    expert.__init__ = seeded


def record_enhancement() -> None:
    """Write PESQ and STOI of each test utterance."""
    _record_signals("enhancement_stft", ("pesq", "stoi"))


def record_separation() -> None:
    """Write the improvement of SI-SDR of each test mixture."""
    _record_signals("separation_stft", ("si_sdr",))


def _record_signals(task: str, measures: tuple[str, ...]) -> None:
    expert, new = _expert(task)
    if not new:
        return
    module = importlib.import_module(expert.__module__)
    module.__dict__["get_metrics"] = _surviving(module.__dict__["get_metrics"])
    postprocess = module.__dict__["postprocess"]
    # It looks for the last sample that is not zero, and a mask may leave none.
    module.__dict__["postprocess"] = lambda wave, *args: postprocess(wave, *args) if wave.any() else wave
    forward, log_records = expert.forward, expert.log_records

    @functools.wraps(forward)
    def named(self: Any, mode: str, features: Any, ids: Any, *args: Any, records: Any, **kwargs: Any) -> Any:
        loss = forward(self, mode, features, ids, *args, records=records, **kwargs)
        if mode != "train":
            records[_MARK].extend(ids)
        return loss

    @functools.wraps(log_records)
    def writing(self: Any, mode: str, records: Any, *args: Any, **kwargs: Any) -> Any:
        ids = records.pop(_MARK, [])
        if mode == "test":
            write_table(Path(self.expdir), mode, ids, {name: records[name] for name in measures})
        for name in ("si_sdr", "stoi", "pesq") if mode != "train" else ():
            known = [value for value in records[name] if np.isfinite(value)]
            if name in records and len(known) < len(records[name]):
                logger.warning("%s: %s of %d clips has no value", mode, name, len(records[name]) - len(known))
                records[name] = known or [float("nan")]
        return log_records(self, mode, records, *args, **kwargs)

    expert.forward, expert.log_records = named, writing


def _surviving(get_metrics: Callable[..., dict[str, float]]) -> Callable[..., dict[str, float]]:
    """Have a measure that fails on what a head made give its worst value, and NaN if the clip is the reason.

    PESQ fails where it hears no speech, SI-SDR on silence: in a reference, which is the same for every
    upstream, or in what the head made of it, and to leave that out would reward it.
    """

    @functools.wraps(get_metrics)
    def survive(
        mix: Any, clean: Any, estimate: Any, *args: Any, metrics_list: Any, **kwargs: Any
    ) -> dict[str, float]:
        def measured(names: list[str], made: Any) -> dict[str, float] | None:
            try:
                found = get_metrics(mix, clean, made, *args, metrics_list=names, **kwargs)
            except Exception as error:  # noqa: BLE001 - native code and its wrappers fail in ways of their own
                logger.warning("%s cannot be measured on a clip: %s", ", ".join(names), error)
                return None
            return found if all(np.isfinite(value) for value in found.values()) else None

        if found := measured(list(metrics_list), estimate):
            return found
        found = {}
        for name in metrics_list:
            told = measured([name], estimate)
            if told is None:
                # The mixture as it is, in place of what the head made of it.
                told = measured([name], np.broadcast_to(mix, np.shape(clean)).copy())
                told = {**told, name: WORST[name]} if told else dict.fromkeys((name, f"input_{name}"), np.nan)
            found |= told
        return found

    return survive


def _expert(task: str) -> tuple[Any, bool]:
    """Return the class of a task's expert, and whether it is still S3PRL's own."""
    expert = importlib.import_module(f"s3prl.downstream.{task}.expert").DownstreamExpert
    new = not hasattr(expert, _MARK)
    setattr(expert, _MARK, True)
    return expert, new


def _runs(frames: list[int]) -> list[str]:
    return [str(phone) for phone, _ in groupby(frames)]
