"""What learns, as Fabric runs it, and the plain task beside it that everything else looks at."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils import _pytree as pytree

from ..errors import ConfigError
from .recipe import SELF, Recipe
from .task import DistillTask
from .workshop import Workshop, build_optimiser


class Trainee:
    """The task where every process has all of it: it learns in place, and is the plain task.

    Attributes:
        module: the task as Fabric wrapped it.
        wrapped: its optimiser as Fabric wrapped it.

    Args:
        shop: what the run works with.
        fabric: launched.
    """

    def __init__(self, shop: Workshop, fabric: Any) -> None:
        self._task: DistillTask = shop.task
        self._optimiser = _optimiser(shop.recipe, shop.task)
        self.module, self.wrapped = fabric.setup(shop.task, self._optimiser)

    def take_up(self) -> None:
        """Go on from the weights of the plain task; all processes together."""

    def bring_home(self) -> None:
        """Give the plain task the weights that were learnt; all processes together."""

    def state(self) -> dict[str, Any]:
        """Return task and optimiser, whole, ready for a checkpoint; all processes together."""
        return {"task": self._task.state_dict(), "optimiser": self._optimiser.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` gave, whatever the strategy of the run that did.

        Raises:
            RuntimeError: it is another task's.
            ValueError: it is another optimiser's.
        """
        self._task.load_state_dict(state["task"])
        self._optimiser.load_state_dict(state["optimiser"])


class ShardedTrainee(Trainee):
    """A copy of the task whose parameters, gradients and optimiser lie in shards over the processes.

    The plain task stays on every device for what is not training, such as validation and export: one more
    copy of the weights, and nothing else.

    Args:
        shop: what the run works with.
        fabric: launched, with the strategy of :func:`~streaming_wavlm.distill.runtime.build_fabric`.

    Raises:
        ConfigError: the student is to teach itself.
    """

    def __init__(self, shop: Workshop, fabric: Any) -> None:
        if SELF in shop.recipe.objective.teachers():
            raise ConfigError(
                f"the teacher {SELF!r} is the student as it is at every step, which strategy 'fsdp' keeps in "
                "shards; use strategy: ddp, or an earlier student as a teacher of kind 'reference'"
            )
        self._task = shop.task
        self._sharded = copy.deepcopy(shop.task)
        self.module = fabric.setup_module(self._sharded)
        # The parameters are others now: shards of the copy's.
        self._optimiser = _optimiser(shop.recipe, self._sharded)
        self.wrapped = fabric.setup_optimizers(self._optimiser)

    def take_up(self) -> None:
        """Go on from the weights of the plain task; all processes together."""
        _copy(self._task, self._sharded, _sharded_like)

    def bring_home(self) -> None:
        """Give the plain task the weights that were learnt; all processes together."""
        _copy(self._sharded, self._task, lambda value, _: _whole(value))

    def state(self) -> dict[str, Any]:
        """Return task and optimiser, whole, ready for a checkpoint; all processes together."""
        self.bring_home()
        state = pytree.tree_map(_whole, self._optimiser.state_dict())
        return {"task": self._task.state_dict(), "optimiser": state}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` gave, whatever the strategy of the run that did."""
        self._task.load_state_dict(state["task"])
        self.take_up()
        told = state["optimiser"]
        weights = [weight for group in self._optimiser.param_groups for weight in group["params"]]
        shards = {
            number: {name: _shard_of(value, weights[number]) for name, value in memory.items()}
            for number, memory in told["state"].items()
        }
        self._optimiser.load_state_dict({**told, "state": shards})


def build_trainee(shop: Workshop, fabric: Any) -> Trainee:
    """Return what learns, set up as the recipe's strategy asks.

    Args:
        shop: what the run works with.
        fabric: launched.

    Raises:
        ConfigError: the strategy cannot do what the recipe asks.
    """
    return (ShardedTrainee if shop.recipe.runtime.strategy == "fsdp" else Trainee)(shop, fabric)


def _optimiser(recipe: Recipe, task: nn.Module) -> Optimizer:
    return build_optimiser(task, recipe.optimiser, fused=recipe.runtime.precision != "16-mixed")


def _copy(source: nn.Module, target: nn.Module, change: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Copy parameters and buffers, each changed to what the other is."""
    values = source.state_dict()
    with torch.no_grad():
        for name, there in target.state_dict().items():
            there.copy_(change(values[name], there))


def _shard_of(value: Any, weight: Tensor) -> Any:
    """What an optimiser remembers of a weight, in shards if it is as large as the weight."""
    return (
        _sharded_like(value, weight) if isinstance(value, Tensor) and value.shape == weight.shape else value
    )


def _sharded_like(value: Tensor, like: Tensor) -> Tensor:
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def _whole(value: Any) -> Any:
    from torch.distributed.tensor import DTensor

    return value.full_tensor() if isinstance(value, DTensor) else value
