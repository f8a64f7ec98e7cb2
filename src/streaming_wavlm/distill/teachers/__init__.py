"""Teachers: frozen models whose hidden states a student learns to foretell."""

from .base import PositionalTargets, Targets, Teacher, TeacherSpec
from .build import build
from .cache import CachedTeacher
from .config import TEACHER_KINDS, TeacherConfig
from .logmel import LogMelTeacher
from .reference import ReferenceTeacher, targets_of
from .speaker import SpeakerTeacher
from .waveform import WaveformTeacher
from .whisper import WhisperTeacher

__all__ = [
    "TEACHER_KINDS",
    "CachedTeacher",
    "LogMelTeacher",
    "PositionalTargets",
    "ReferenceTeacher",
    "SpeakerTeacher",
    "Targets",
    "Teacher",
    "TeacherConfig",
    "TeacherSpec",
    "WaveformTeacher",
    "WhisperTeacher",
    "build",
    "targets_of",
]
