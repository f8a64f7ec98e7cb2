"""The corpora of SUPERB: checked where they are, with the lists that S3PRL wants; no audio is copied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..workshop import Layout, Workshop
from .fluent_speech_commands import check_intents
from .iemocap import check_emotion
from .librimix import check_diarization, check_separation
from .librispeech import check_asr, check_phones
from .speech_commands import check_keywords
from .voicebank import check_enhancement
from .voxceleb import check_identification, check_verification

NAMES = {
    "asr": "LibriSpeech",
    "phone_linear": "LibriSpeech",
    "voxceleb1": "VoxCeleb1",
    "sv_voxceleb1": "VoxCeleb1",
    "diarization": "Libri2Mix",
    "emotion": "IEMOCAP",
    "fluent_commands": "Fluent Speech Commands",
    "speech_commands": "Speech Commands v1",
    "enhancement_stft": "VoiceBank-DEMAND",
    "separation_stft": "Libri2Mix",
}
CHECKERS: dict[str, Callable[[Path, Workshop], Layout]] = {
    "asr": check_asr,
    "phone_linear": check_phones,
    "voxceleb1": check_identification,
    "sv_voxceleb1": check_verification,
    "diarization": check_diarization,
    "emotion": check_emotion,
    "fluent_commands": check_intents,
    "speech_commands": check_keywords,
    "enhancement_stft": check_enhancement,
    "separation_stft": check_separation,
}
