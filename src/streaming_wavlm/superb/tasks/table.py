"""The ten tasks of SUPERB that S3PRL's package can run."""

from __future__ import annotations

from ...errors import SuperbError
from ...keys import nearest
from .. import examine
from ..scores import diarization, readers
from . import recording
from .isolation import isolate_sv_voxceleb1, isolate_voxceleb1
from .task import Task

_DATA = "downstream_expert.datarc"
_LOADER = "downstream_expert.loaderrc"
_BIDIRECTIONAL = "its recurrent layers are bidirectional, so every frame hears the whole recording"
_POOLED = "it pools over the whole recording, so it answers only once the recording has ended"
_SPLIT_FOLDERS = {f"{_LOADER}.{split}_dir": f"the {split} split" for split in ("train", "dev", "test")}
_OWN = "streaming_wavlm-scores-test.tsv"

_ALL = (
    Task(
        name="asr",
        short="ASR",
        title="speech recognition",
        needs={
            f"{_DATA}.libri_root": "the recordings",
            f"{_DATA}.bucket_file": "the folder of lengths (len_for_bucket)",
            f"{_DATA}.dict_path": "the dictionary of characters",
        },
        metrics=(readers.WER, readers.CER),
        read=readers.transcripts("test-clean"),
        best="dev-clean-best.ckpt",
        evaluate=("-t", "test-clean"),
        outputs=("test-*.ark",),
        causal=False,
        causality=_BIDIRECTIONAL,
        examine=examine.examine_transcripts,
    ),
    Task(
        name="phone_linear",
        short="PR",
        title="phone recognition",
        needs={
            f"{_DATA}.libri_root": "the recordings",
            f"{_DATA}.phone_path": "the folder of phone labels and splits",
            f"{_DATA}.bucket_file": "the folder of lengths (len_for_bucket)",
        },
        metrics=(readers.FRAME_ACCURACY, readers.PER),
        read=readers.phones,
        best="best-states-dev.ckpt",
        outputs=(_OWN,),
        causal=True,
        causality="it is one linear layer for each frame by itself",
        aliases=("pr",),
        record=recording.record_phones,
        examine=examine.examine_phones,
    ),
    Task(
        name="voxceleb1",
        short="SID",
        title="speaker identification",
        needs={
            f"{_DATA}.file_path": "the recordings",
            f"{_DATA}.meta_data": "the list of its splits (iden_split.txt of VoxCeleb1)",
        },
        metrics=(readers.ACCURACY,),
        read=readers.accuracy("test_predict.txt", "test_truth.txt"),
        best="dev-best.ckpt",
        causal=False,
        causality=_POOLED,
        aliases=("sid",),
        isolate=isolate_voxceleb1,
        examine=examine.examine_identification,
    ),
    Task(
        name="sv_voxceleb1",
        short="ASV",
        title="speaker verification",
        needs={
            f"{_DATA}.file_path": "the recordings",
            f"{_DATA}.dev_meta_data": "the list of trials to choose by",
            f"{_DATA}.test_meta_data": "the list of trials to test with (veri_test.txt of VoxCeleb1)",
        },
        metrics=(readers.EER,),
        read=readers.verification,
        best="dev-best.ckpt",
        outputs=("test_*", _OWN),
        causal=False,
        causality=_POOLED,
        aliases=("asv", "sv"),
        isolate=isolate_sv_voxceleb1,
        record=recording.record_verification,
        examine=examine.examine_verification,
    ),
    Task(
        name="diarization",
        short="SD",
        title="speaker diarization",
        needs=_SPLIT_FOLDERS,
        metrics=(diarization.DER, diarization.DER_COLLAR),
        read=diarization.diarization,
        best="best-states-dev.ckpt",
        outputs=("scoring/predictions/*.h5", "scoring/hypothesis.rttm"),
        causal=True,
        causality="its LSTM runs forward only; the median that scoring smooths with looks 5 frames ahead",
        aliases=("sd",),
        record=recording.record_diarization,
        examine=examine.examine_diarization,
    ),
    Task(
        name="emotion",
        short="ER",
        title="emotion recognition",
        needs={f"{_DATA}.root": "the recordings", f"{_DATA}.meta_data": "the folder of lists of the folds"},
        metrics=(readers.ACCURACY,),
        read=readers.accuracy("test_fold*_predict.txt", "test_fold*_truth.txt"),
        best="dev-best.ckpt",
        causal=False,
        causality=_POOLED,
        aliases=("er",),
        record=recording.seed_emotion,
        examine=examine.examine_emotion,
    ),
    Task(
        name="fluent_commands",
        short="IC",
        title="intent classification",
        needs={f"{_DATA}.file_path": "the corpus (data/train_data.csv and its like, and the recordings)"},
        metrics=(readers.ACCURACY,),
        read=readers.accuracy("test_predict.csv", "test_truth.csv"),
        best="dev-best.ckpt",
        causal=False,
        causality=_POOLED,
        aliases=("ic",),
        examine=examine.examine_commands,
    ),
    Task(
        name="speech_commands",
        short="KS",
        title="keyword spotting (called SF, as if it were slot filling, in some tables of upstreams)",
        needs={
            f"{_DATA}.speech_commands_root": "the recordings of the train and dev splits",
            f"{_DATA}.speech_commands_test_root": "the recordings of the test split",
        },
        metrics=(readers.ACCURACY,),
        read=readers.accuracy("test_predict.txt", "test_truth.txt"),
        best="dev-best.ckpt",
        causal=False,
        causality=_POOLED,
        aliases=("ks", "keyword_spotting", "sf"),
        examine=examine.examine_keywords,
    ),
    Task(
        name="enhancement_stft",
        short="SE",
        title="speech enhancement",
        needs=_SPLIT_FOLDERS,
        metrics=(readers.PESQ, readers.STOI),
        read=readers.enhancement,
        best="best-states-dev.ckpt",
        outputs=("test_metrics.txt", _OWN),
        causal=False,
        causality=_BIDIRECTIONAL,
        aliases=("se",),
        record=recording.record_enhancement,
        examine=examine.examine_enhancement,
    ),
    Task(
        name="separation_stft",
        short="SS",
        title="speech separation",
        needs=_SPLIT_FOLDERS,
        metrics=(readers.SI_SDR_IMPROVEMENT,),
        read=readers.separation,
        best="best-states-dev.ckpt",
        outputs=("test_metrics.txt", _OWN),
        causal=False,
        causality=_BIDIRECTIONAL,
        aliases=("ss",),
        record=recording.record_separation,
        examine=examine.examine_separation,
    ),
)
TASKS: dict[str, Task] = {task.name: task for task in _ALL}
ALIASES = {alias: task for task in _ALL for alias in (task.name, *task.aliases)}


def find_task(name: str) -> Task:
    """Return a task by S3PRL's name for it or by another, such as ``ks`` or ``sf`` for ``speech_commands``.

    Args:
        name: in small or capital letters.

    Raises:
        SuperbError: there is no such task.
    """
    task = ALIASES.get(name.lower())
    if task is None:
        raise SuperbError(
            f"there is no task {name!r} here{nearest(name.lower(), ALIASES)}; there are {', '.join(TASKS)}"
        )
    return task
