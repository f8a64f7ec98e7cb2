"""What each task wants: from speech and its labels to the files that S3PRL's expert reads."""

from __future__ import annotations

from collections.abc import Callable

from ..records import Material
from ..workshop import Layout, Workshop
from .diarization import lay_out_diarization
from .emotion import lay_out_emotion
from .fluent_commands import lay_out_fluent_commands
from .librispeech import lay_out_asr
from .pairs import lay_out_enhancement, lay_out_separation
from .phone_linear import lay_out_phones
from .speech_commands import lay_out_speech_commands
from .verification import lay_out_verification
from .voxceleb import lay_out_voxceleb

LAYOUTS: dict[str, Callable[[Material, Workshop], Layout]] = {
    "asr": lay_out_asr,
    "phone_linear": lay_out_phones,
    "voxceleb1": lay_out_voxceleb,
    "sv_voxceleb1": lay_out_verification,
    "diarization": lay_out_diarization,
    "emotion": lay_out_emotion,
    "fluent_commands": lay_out_fluent_commands,
    "speech_commands": lay_out_speech_commands,
    "enhancement_stft": lay_out_enhancement,
    "separation_stft": lay_out_separation,
}
