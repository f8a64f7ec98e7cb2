"""The objective: a student's output and the teachers' targets in, one number to descend out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import StreamingWavLMConfig
from ..errors import ConfigError, InputError
from ..output import WavLMOutput
from .alignment import aligned_targets, teacher_indices
from .geometry import student_geometry
from .heads import Head, pool
from .losses import INDIRECT, LossFunction, loss_function
from .objective_config import ObjectiveConfig, PairConfig
from .target_norm import MEASURED, Average, ChannelNorm, Whitening, normalised
from .teachers.base import Targets, TeacherSpec
from .units import Codebook, Gather


@dataclass(frozen=True)
class LossReport:
    """The losses of one batch.

    Attributes:
        total: the weighted sum, a scalar to call ``backward`` on.
        parts: the loss of each pair before its weight, scalars without gradient.
    """

    total: Tensor
    parts: dict[str, Tensor]


@dataclass(frozen=True)
class Aligned:
    """What the student says and what it should say, frame by frame.

    Attributes:
        name: of the pair.
        weight: of the pair.
        prediction: ``[batch, frames, dim]``, behind the head.
        target: ``[batch, frames, target dim]``; another width than the prediction's only where the frames'
            relations are compared.
        mask: the frames that count, bool ``[batch, frames]``.
    """

    name: str
    weight: float
    prediction: Tensor
    target: Tensor
    mask: Tensor


class Objective(nn.Module):
    """The losses of one stage, and the heads that they need, which learn with the student.

    Args:
        student: the student's architecture.
        config: what it is asked.
        teachers: what each teacher gives, by its name.

    Raises:
        ConfigError: a pair names a teacher or a layer that is not there, or compares what cannot be compared.
    """

    def __init__(
        self, student: StreamingWavLMConfig, config: ObjectiveConfig, teachers: Mapping[str, TeacherSpec]
    ) -> None:
        super().__init__()
        self.config = config
        self.student = student
        self.geometry = student_geometry(student)
        self.pairs = config.all_pairs()
        self.teachers = {name: _known(teachers, name) for name in config.teachers()}
        self.heads = nn.ModuleDict(
            {_key(pair): self._head(pair, self.teachers[pair.teacher]) for pair in self.pairs}
        )
        measured = [pair for pair in self.pairs if pair.target_norm in MEASURED]
        self.norms = nn.ModuleDict(
            {_key(pair): _norm(pair, _summary_dim(pair, self.teachers[pair.teacher])) for pair in measured}
        )
        self.codebooks = nn.ModuleDict(
            {
                _key(pair): Codebook(pair.units, _target_dim(pair, self.teachers[pair.teacher]))
                for pair in self.pairs
                if pair.loss == "units"
            }
        )

    def forward(
        self, output: WavLMOutput, targets: Mapping[str, Targets], average: Average | None = None
    ) -> LossReport:
        """Score a batch.

        Args:
            output: the student's.
            targets: each teacher's, by its name.
            average: maps this process's counts of frames to their mean over the processes; then the
                gradients, averaged over the processes, are those of one process with all their recordings.

        Raises:
            InputError: a teacher's targets are missing or do not fit.
        """
        aligned = self.aligned(output, targets)
        losses = [
            self._loss(pair)(item.prediction, item.target, item.mask)
            for pair, item in zip(self.pairs, aligned, strict=True)
        ]
        counts = averaged_counts([loss.count for loss in losses], average)
        values = [loss.total / count for loss, count in zip(losses, counts, strict=True)]
        total = torch.stack(
            [pair.weight * value for pair, value in zip(self.pairs, values, strict=True)]
        ).sum()
        return LossReport(
            total, {pair.name: value.detach() for pair, value in zip(self.pairs, values, strict=True)}
        )

    def aligned(self, output: WavLMOutput, targets: Mapping[str, Targets]) -> list[Aligned]:
        """Put the student's predictions and the teachers' targets side by side, one item per pair.

        Args:
            output: the student's.
            targets: each teacher's, by its name.

        Raises:
            InputError: a teacher's targets are missing or do not fit.
        """
        frames = output.hidden_states[0].shape[1]
        exists = torch.arange(frames, device=output.lengths.device) < output.lengths[:, None]
        return [self._align(pair, output, exists, self._targets(pair, targets)) for pair in self.pairs]

    def _align(self, pair: PairConfig, output: WavLMOutput, exists: Tensor, targets: Targets) -> Aligned:
        layer = _resolved(pair.student_layer, self.student.num_layers)
        prediction = self.heads[_key(pair)](output.hidden_states[layer - 1], exists)
        wanted = self._wanted(pair, targets)
        if _key(pair) in self.norms:
            wanted = self.norms[_key(pair)](wanted)
        if targets.geometry is None or pair.target_pool != "none":
            mask = (exists & (targets.lengths > 0)[:, None])[:, : prediction.shape[1]]
            target = wanted.expand(-1, prediction.shape[1], -1)
        else:
            indices = teacher_indices(
                self.geometry, targets.geometry, exists.shape[1], pair.shift, exists.device
            )
            target, mask = aligned_targets(wanted, targets.lengths, indices, output.lengths)
        return Aligned(pair.name, pair.weight, prediction, target, mask)

    def _loss(self, pair: PairConfig) -> LossFunction:
        if pair.loss == "units":
            return self.codebooks[_key(pair)]
        return loss_function(pair.loss, pair.window)

    @property
    def needs_measuring(self) -> bool:
        """Whether :meth:`measure` has to see some batches before training."""
        return any(not norm.measured for _, norm in self._norms()) or self.needs_codebooks

    @property
    def needs_codebooks(self) -> bool:
        """Whether :meth:`sample` has to see some batches, the channels' statistics once measured."""
        return any(not codebook.measured for _, codebook in self._codebooks())

    def measure(self, targets: Mapping[str, Targets], average: Average | None = None) -> None:
        """Take a batch into the statistics that ``target_norm`` may need; without it, do nothing.

        Args:
            targets: each teacher's, by its name.
            average: maps numbers of this process to their mean over the processes, where there are several.

        Raises:
            InputError: a teacher's targets are missing or do not fit.
        """
        for pair, norm in self._norms():
            found = self._targets(pair, targets)
            wanted = self._wanted(pair, found)
            lengths = found.lengths.clamp(max=wanted.shape[1])
            if isinstance(norm, Whitening):
                # A summary of many frames counts for as many: else short recordings, of which there are the
                # most and which vary the most, would decide what is common.
                weights = found.lengths if pair.target_pool != "none" else torch.ones_like(lengths)
                norm.measure(wanted, lengths, weights, average)
            else:
                norm.measure(wanted, lengths, average)

    @property
    def needs_components(self) -> bool:
        """Whether principal components are to be measured, which takes more targets than means do."""
        return any(isinstance(norm, Whitening) and not norm.measured for _, norm in self._norms())

    def fit_norms(self) -> None:
        """Make the statistics of what was measured, before anything is sampled.

        Raises:
            StateError: nothing was measured.
        """
        for _, norm in self._norms():
            if not norm.measured:
                norm.fit()

    def sample(self, targets: Mapping[str, Targets], gather: Gather | None = None) -> None:
        """Take a batch into the sample of the loss ``"units"``, after all batches were measured.

        Args:
            targets: each teacher's, by its name.
            gather: maps rows of this process to those of all processes, where there are several.

        Raises:
            InputError: a teacher's targets are missing or do not fit.
        """
        for pair, codebook in self._codebooks():
            found = self._targets(pair, targets)
            wanted = self._wanted(pair, found)
            if _key(pair) in self.norms:
                wanted = self.norms[_key(pair)](wanted)
            there = torch.arange(wanted.shape[1], device=wanted.device) < found.lengths[:, None]
            codebook.measure(wanted[there], gather)

    def fit_codebooks(self) -> None:
        """Make the codebooks of what was sampled.

        Raises:
            StateError: nothing was sampled.
        """
        for _, codebook in self._codebooks():
            codebook.fit()

    def _codebooks(self) -> list[tuple[PairConfig, Codebook]]:
        books = [(pair, self.codebooks[_key(pair)]) for pair in self.pairs if _key(pair) in self.codebooks]
        return [(pair, book) for pair, book in books if isinstance(book, Codebook)]

    def _norms(self) -> list[tuple[PairConfig, ChannelNorm | Whitening]]:
        norms = [(pair, self.norms[_key(pair)]) for pair in self.pairs if _key(pair) in self.norms]
        return [(pair, norm) for pair, norm in norms if isinstance(norm, ChannelNorm | Whitening)]

    def _wanted(self, pair: PairConfig, targets: Targets) -> Tensor:
        layer = _resolved(pair.teacher_layer, self.teachers[pair.teacher].num_layers, first=0)
        wanted = normalised(targets.layer(layer), targets.lengths, pair.target_norm)
        if pair.target_pool == "none":
            return wanted
        frames = torch.arange(wanted.shape[1], device=wanted.device)
        return pool(wanted, frames < targets.lengths[:, None], pair.target_pool)

    def _targets(self, pair: PairConfig, targets: Mapping[str, Targets]) -> Targets:
        if pair.teacher not in targets:
            raise InputError(
                f"the targets of the teacher {pair.teacher!r} are missing; got those of {sorted(targets)}"
            )
        return targets[pair.teacher]

    def _head(self, pair: PairConfig, teacher: TeacherSpec) -> Head:
        _resolved(pair.student_layer, self.student.num_layers, f"the student layer of {pair.name}")
        _resolved(pair.teacher_layer, teacher.num_layers, f"the teacher layer of {pair.name}", first=0)
        pooling = pair.pool
        if teacher.geometry is None and pair.target_pool != "none":
            raise ConfigError(
                f"{pair.name}: target_pool {pair.target_pool!r} has nothing to summarise, for this teacher "
                "speaks once per recording; leave target_pool out"
            )
        once = teacher.geometry is None or pair.target_pool != "none"
        if pooling == "auto":
            pooling = "mean_std" if once else "none"
        if once != (pooling != "none") or (
            once and (pair.loss in INDIRECT or pair.target_norm == "instance")
        ):
            raise ConfigError(
                f"{pair.name}: pool {pair.pool!r}, loss {pair.loss!r} and target_norm "
                f"{pair.target_norm!r} do not fit a target that there is "
                f"{'once per recording' if once else 'at every frame'}"
            )
        if pair.loss == "units":
            return Head(self.student.dim, pair.units, linear=True)
        width, target_dim = self.student.dim, _target_dim(pair, teacher)
        fits = (2 * width if pooling.endswith("_std") else width) == target_dim
        free = fits or pair.loss == "gram"
        if pair.head == "none" and not free:
            raise ConfigError(
                f"{pair.name}: without a head the student's {width} channels (twice as many with "
                f'"_std") must be the target\'s {target_dim}; use head: linear'
            )
        linear = pair.head == "linear" or (pair.head == "auto" and (pooling != "none" or not free))
        return Head(width, target_dim, linear, pooling)


def averaged_counts(counts: list[Tensor], average: Average | None) -> Tensor:
    """Return what each sum is to be divided by: never 0, and the processes' mean if there are several.

    Args:
        counts: how many values each loss of this process sums.
        average: maps them, float64 ``[losses]``, to their mean over the processes.
    """
    stacked = torch.stack(counts).double()
    if average is not None:
        stacked = average(stacked)
    return torch.where(stacked > 0, stacked, 1).to(torch.float32)


def _key(pair: PairConfig) -> str:
    """A pair's name as a module may be called."""
    return pair.name.replace(".", "_")


def _summary_dim(pair: PairConfig, teacher: TeacherSpec) -> int:
    return 2 * teacher.dim if pair.target_pool == "mean_std" else teacher.dim


def _target_dim(pair: PairConfig, teacher: TeacherSpec) -> int:
    return pair.components if pair.target_norm == "whiten" else _summary_dim(pair, teacher)


def _norm(pair: PairConfig, dim: int) -> ChannelNorm | Whitening:
    if pair.target_norm != "whiten":
        return ChannelNorm(dim)
    if pair.components > dim:
        raise ConfigError(
            f"{pair.name}: the target has {dim} channels and so at most as many components, got components: "
            f"{pair.components}"
        )
    return Whitening(dim, pair.components)


def _known(teachers: Mapping[str, TeacherSpec], name: str) -> TeacherSpec:
    if name not in teachers:
        raise ConfigError(f"the objective asks the teacher {name!r}; there are {sorted(teachers)}")
    return teachers[name]


def _resolved(layer: int, layers: int, what: str = "a layer", first: int = 1) -> int:
    number = layer + layers + 1 if layer < 0 else layer
    if not first <= number <= layers:
        raise ConfigError(f"{what} must be from {first} to {layers}, or from the end from -1, got {layer}")
    return number
