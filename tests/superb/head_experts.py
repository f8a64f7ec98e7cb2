"""S3PRL's experts of the ten tasks, in small and without a corpus, built as S3PRL builds them."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence

from streaming_wavlm.superb import heads
from streaming_wavlm.superb.tasks import CONFIGS

DIM = 24
CLASSES = 3
BINS = 9
RECURRENT = ("asr", "enhancement_stft", "separation_stft")
POOLED = ("voxceleb1", "speech_commands", "fluent_commands", "emotion", "sv_voxceleb1")
# Causal as published: there is nothing for a causal head to change.
FRAMEWISE = ("phone_linear", "diarization")
TASKS = (*RECURRENT, *POOLED, *FRAMEWISE)


def config_of(task: str, folder: Path) -> dict[str, Any]:
    """The shipped config of a task, its published head in small."""
    config: dict[str, Any] = yaml.safe_load((CONFIGS / "mini" / f"{task}.yaml").read_text())
    expert = config["downstream_expert"]
    data, model = expert["datarc"], expert["modelrc"]
    if task == "asr":
        data["dict_path"] = str(folder / "char.dict")
        data["decoder_args"] = {"decoder_type": "None"}
        (folder / "char.dict").write_text("".join(f"{character} 1\n" for character in "|ABC"))
        model["project_dim"] = 16
        model["RNNs"] |= {
            "dim": [16, 16], "dropout": [0.2, 0.2], "layer_norm": [False, True], "proj": [False, True],
            "sample_rate": [1, 1], "total_rate": -1,  # frame by frame
        }  # fmt: skip
    elif task == "sv_voxceleb1":
        model["input_dim"] = 16
        model["module_config"]["XVector"]["agg_dim"] = 20
    elif task in POOLED:
        model["projector_dim"] = 16
    elif task in RECURRENT:
        data |= {"n_fft": 2 * BINS - 2, "win_length": 2 * BINS - 2}
        # A mask of a rectifier may be zero wherever one looks.
        model |= {"hidden_size": 16, "non_linear": "sigmoid"}
    elif task == "diarization":
        model["hidden_size"] = 16
        expert["scorerc"]["save_predictions"] = False
    return {"downstream_expert": expert}


class _Corpus:
    """What stands in for a corpus: experts ask how many classes there are."""

    speaker_num = class_num = CLASSES
    idx2emotion = "abc"
    pair_table = (("1", "a", "c"), ("0", "b", "d"))

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __len__(self) -> int:
        return 4

    @staticmethod
    def label2speaker(labels: list[int]) -> list[str]:
        return [str(label) for label in labels]


_CORPORA = ("SpeakerClassifiDataset", "IEMOCAPDataset", "FluentCommandsDataset", "SpeakerVerifi_train",
            "SpeakerVerifi_test", "SeparationDataset", "PhoneDataset", "SpeechCommandsDataset",
            "SpeechCommandsTestingDataset")  # fmt: skip


def expert_of(task: str, config: dict[str, Any], folder: Any, monkeypatch: Any, seed: int = 0) -> Any:
    """S3PRL's expert, in double precision and with dropout off."""
    module = importlib.import_module(f"s3prl.downstream.{task}.expert")
    for name in _CORPORA:
        if hasattr(module, name):
            monkeypatch.setattr(module, name, _Corpus)
    if task == "speech_commands":
        monkeypatch.setattr(module, "split_dataset", lambda _: ([], []))
    if task == "fluent_commands":
        monkeypatch.setattr(module.DownstreamExpert, "get_dataset", _intents)
    torch.manual_seed(seed)
    expert = module.DownstreamExpert(upstream_dim=DIM, upstream_rate=320, expdir=str(folder), **config)
    # Its model turns features into single precision.
    return (expert.float() if task == "diarization" else expert.double()).eval()


def _intents(self: Any) -> None:
    self.values_per_slot = [2, 2, 2]
    slots = {0: "a", 1: "b"}
    self.Sy_intent = {"action": slots, "object": slots, "location": slots}
    self.train_df = self.valid_df = self.test_df = self.base_path = None


def say(task: str, expert: Any, features: Tensor) -> Tensor:
    """What the head says at every frame, ``[time, outputs]``; one that pools says one thing throughout."""
    batch = features[None]
    if task == "asr":
        return expert._get_log_probs([features])[0][0]
    if task in FRAMEWISE:
        return expert.model(batch)[0]
    if task in RECURRENT:
        return torch.cat(expert.model(pack_sequence([features])), dim=-1)[0]
    projected = expert.connector(batch) if task == "sv_voxceleb1" else expert.projector(batch)
    if _runs(expert):
        return heads.decisions(expert.model, projected)[0]
    if task == "sv_voxceleb1":
        pooled = expert.model.inference(projected, torch.zeros(1, len(features) - 14))
    else:
        pooled = expert.model(projected, torch.tensor([len(features)]))[0]
    return pooled.expand(len(features), -1)


def _runs(expert: Any) -> bool:
    pooling = getattr(expert.model, "pooling", None) or expert.model.agg_method
    return hasattr(pooling, "running")


def train_step(task: str, expert: Any, features: list[Tensor]) -> Tensor:
    """The loss of one batch in training, through S3PRL's expert."""
    records: Any = defaultdict(list)
    lengths = [len(feature) for feature in features]
    names = [str(i) for i in range(len(features))]
    labels = [i % CLASSES for i in range(len(features))]
    others: dict[str, Callable[[], tuple[Any, ...]]] = {
        "asr": lambda: ([np.array([4, 5, 6]) for _ in features], names),
        "phone_linear": lambda: ([torch.zeros(length, dtype=torch.long) for length in lengths],),
        "diarization": lambda: ([np.ones((n, 2)) for n in lengths], np.array(lengths), None),
        "sv_voxceleb1": lambda: (names, labels),
        "fluent_commands": lambda: ([[i % 2] * 3 for i in labels], names),
        "enhancement_stft": lambda: _spectra(lengths, 1),
        "separation_stft": lambda: _spectra(lengths, 2),
    }
    extra = others.get(task, lambda: (labels, names))()
    expert.train()
    loss: Tensor = expert("train", features, *extra, records=records)
    return loss


def _spectra(lengths: list[int], sources: int) -> tuple[Any, ...]:
    longest = max(lengths)

    def spectrum() -> dict[str, Tensor]:
        shape = (len(lengths), longest, BINS)
        return {"magnitude": torch.rand(shape).double(), "phase": torch.rand(shape).double()}

    targets = [spectrum() for _ in range(sources)]
    joined = {key: [target[key] for target in targets] for key in ("magnitude", "phase")}
    return ["u"] * len(lengths), spectrum(), None, joined, [], torch.tensor(lengths), None


def runner_of(task: str, expert: Any, waves: list[np.ndarray], others: tuple[Any, ...], upstream: Any) -> Any:
    """What of S3PRL's runner a judgement after some seconds needs."""
    expert.get_dataloader = lambda split: [(waves, *others)]
    entries = {
        "upstream": SimpleNamespace(model=upstream),
        "featurizer": SimpleNamespace(model=_Featurizer()),
        "downstream": SimpleNamespace(model=expert),
    }
    args = SimpleNamespace(downstream=task, device="cpu")
    return SimpleNamespace(args=args, all_entries=[entries["downstream"]], **entries)


class _Featurizer:
    downsample_rate = 320

    def __call__(self, waves: list[Tensor], features: list[Tensor]) -> list[Tensor]:
        return features
