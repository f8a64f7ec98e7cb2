"""Our layers as names that S3PRL's configs can choose: it looks them up in the modules of its own layers."""

from __future__ import annotations

import importlib
from typing import Any

from .. import registration
from .pooling import RunningMean, RunningStatistics
from .xvector import CausalXVector

MEAN = "RunningMean"
STATISTICS = "RunningStatistics"
XVECTOR = "CausalXVector"
_WIDTHS = "decide_utter_input_dim"


def register() -> None:
    """Add the names; does nothing the second time, and changes nothing for configs without them.

    Raises:
        MissingDependencyError: S3PRL is not installed.
    """
    registration.register()
    pooled = importlib.import_module("s3prl.downstream.model")
    setattr(pooled, MEAN, RunningMean)
    verification = importlib.import_module("s3prl.downstream.sv_voxceleb1.model")
    if hasattr(verification, STATISTICS):
        return
    setattr(verification, STATISTICS, RunningStatistics)
    setattr(verification, XVECTOR, CausalXVector)
    published = getattr(verification, _WIDTHS)

    def widths(agg_module_name: str, *args: Any, **kwargs: Any) -> Any:
        # It knows by name which pooling doubles the width.
        return published("SP" if agg_module_name == STATISTICS else agg_module_name, *args, **kwargs)

    setattr(verification, _WIDTHS, widths)
