"""Choosing the head of a task."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

from ...errors import SuperbError
from ...keys import nearest
from . import names
from .rewrite import REWRITES

Kind = Literal["published", "causal"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_EXPERT = "downstream_expert"
_MARK = "heads"


def kind_of(config: Mapping[str, Any]) -> Kind | None:
    """Return the kind of heads a config was made for, None if ``use`` has not seen it.

    Args:
        config: of an experiment, such as ``Config`` in S3PRL's checkpoints.
    """
    expert = config.get(_EXPERT)
    kind = expert.get(_MARK) if isinstance(expert, Mapping) else None
    return cast("Kind", kind) if kind in KINDS else None


def use(kind: Kind | None, task: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config with the heads asked for, and let S3PRL know the names in it.

    To be called after the config is read and overridden, and before S3PRL's expert is built. The kind is
    written into the config, and S3PRL's checkpoints hold that: so going on with an experiment knows it.

    Args:
        kind: of heads; None for what the config was made for, published if it was made for none.
        task: S3PRL's name of it, such as ``asr``.
        config: of the experiment; it is not changed.

    Raises:
        SuperbError: there is no such kind, no causal head for the task or its config, or the config
            was made for the other kind.
    """
    made = kind_of(config)
    kind = kind or made or "published"
    if kind not in KINDS:
        raise SuperbError(f"there are no heads {kind!r}; there are {', '.join(KINDS)}")
    if made not in {None, kind}:
        raise SuperbError(
            f"this experiment has {made} heads, and --heads {kind} is asked for, which were "
            "not trained here; "
            f"leave the option out to go on with the {made} ones, or train {kind} ones in another folder"
        )
    result = copy.deepcopy(dict(config))
    expert = result.setdefault(_EXPERT, {})
    if kind == "causal":
        rewrite = REWRITES.get(task)
        if rewrite is None:
            raise SuperbError(
                f"the task {task!r} has no causal head here{nearest(task, REWRITES)}; "
                f"there are some for {', '.join(REWRITES)}"
            )
        names.register()
        if made is None:
            rewrite(expert)
    expert[_MARK] = kind
    return result
