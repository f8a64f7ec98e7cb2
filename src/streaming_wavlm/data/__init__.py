"""Corpora: manifests in, batches out, in an order that the seed and the step alone decide."""

from .batch import Batch
from .config import DataConfig, SourceConfig
from .corpus import Corpus, open_corpus
from .errors import DataError
from .held_out import HeldOut
from .loader import Loader
from .plan import BatchPlan

__all__ = [
    "Batch",
    "BatchPlan",
    "Corpus",
    "DataConfig",
    "DataError",
    "HeldOut",
    "Loader",
    "SourceConfig",
    "open_corpus",
]
