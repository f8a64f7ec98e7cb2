"""Looking into a corpus before S3PRL does, which would stop halfway through on what is wrong with it.

Each function takes the config of an experiment, raises a :class:`SuperbError` that says what is wrong and
what to do, and returns what is worth telling of the rest: recordings that S3PRL is going to leave out.
"""

from .classes import examine_commands, examine_emotion, examine_keywords
from .mixtures import examine_enhancement, examine_separation
from .speakers import examine_diarization, examine_identification, examine_verification
from .speech import examine_phones, examine_transcripts

__all__ = [
    "examine_commands",
    "examine_diarization",
    "examine_emotion",
    "examine_enhancement",
    "examine_identification",
    "examine_keywords",
    "examine_phones",
    "examine_separation",
    "examine_transcripts",
    "examine_verification",
]
