"""What the head of a column says of an upstream."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...checkpoint import is_random
from ...errors import SuperbError
from ...extract_record import weights_digest
from ...keys import nearest
from ...model import StreamingWavLM
from ...presets import UPSTREAMS
from .. import factories
from ..registration import HUB, register

logger = logging.getLogger(__name__)
# What S3PRL's own upstreams bring along is theirs to choose: their name says which weights these are.
_OF_S3PRL = "S3PRL's own"


@dataclass(frozen=True)
class Upstream:
    """An upstream of the report.

    Attributes:
        name: on S3PRL's hub.
        latency_ms: algorithmic latency in milliseconds; None where the upstream is no streaming one.
        parameters: number of weights; None where it is not known.
        weights: where they come from, in words.
        digest: changes with the weights and the config.
        untrained: whether the weights were drawn at random.
    """

    name: str
    latency_ms: float | None
    parameters: int | None
    weights: str
    digest: str
    untrained: bool = False

    @property
    def ours(self) -> bool:
        """Whether it takes the checkpoint."""
        return self.name in UPSTREAMS

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def twins(upstreams: Mapping[str, Upstream]) -> dict[str, str]:
    """Return which upstreams are another's model under a second name: name → the first of its kind.

    Args:
        upstreams: by name, in the order in which they are shown.
    """
    first: dict[str, str] = {}
    for name, upstream in upstreams.items():
        if upstream.digest:
            first.setdefault(upstream.digest, name)
    return {
        name: first[upstream.digest]
        for name, upstream in upstreams.items()
        if upstream.digest and first[upstream.digest] != name
    }


def describe(name: str, ckpt: str | None, model_config: str | None = None) -> Upstream:
    """Return what is known of an upstream.

    Args:
        name: one of ours, or of S3PRL's.
        ckpt: the checkpoint of ours.
        model_config: what it does not say of its architecture.

    Raises:
        StreamingWavLMError: the checkpoint cannot be used, or there is no such upstream.
    """
    if name in UPSTREAMS:
        model = factories.build(name, ckpt, model_config).model
        digest = f"{weights_digest(model)[:16]}-{model.config.fingerprint()}"
        latency_ms = model.config.latency.algorithmic_ms
        untrained = is_random(model.provenance)
        return Upstream(name, latency_ms, model.num_parameters(), _weights(model), digest, untrained)
    register()
    hub = importlib.import_module(HUB)
    if not callable(getattr(hub, name, None)):
        known = [*UPSTREAMS, *hub.options()]
        raise SuperbError(f"S3PRL has no upstream {name!r}{nearest(name, known)}; see --upstreams")
    parameters = _count(getattr(hub, name))
    return Upstream(name, None, parameters, "none" if parameters == 0 else _OF_S3PRL, "")


def _weights(model: StreamingWavLM) -> str:
    found = model.provenance
    if is_random(found):
        return f"random, seed {found.get('seed', '?')}, untrained"
    kind = str(found.get("weights", "of unknown origin"))
    return f"{kind}, {found['steps']} steps" if "steps" in found else kind


def _count(factory: Any) -> int | None:
    """Count the weights of one of S3PRL's; its factory may want a download or an option."""
    try:
        return int(sum(parameter.numel() for parameter in factory().parameters()))
    except Exception as error:  # noqa: BLE001 - other people's code, and the number is but a convenience
        logger.warning("the parameters of %s cannot be counted: %s", factory.__name__, error)
        return None
