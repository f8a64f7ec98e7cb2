"""The run, from its recipe to the exported student."""

from __future__ import annotations

import logging
import math
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from ..experiment import to_values
from .export import export_student, exported_provenance, provenance_of
from .interruption import StopRequest
from .ledger import Ledger
from .measure import measure_targets
from .progress import Progress
from .recipe import CHECKPOINTS, FINAL, Recipe
from .record import Recorder
from .resume import CheckpointStore
from .run_folder import RunFolder
from .runtime import build_fabric, launch
from .step import Stepper, StepReport
from .trainee import Trainee, build_trainee
from .training_state import captured, restored
from .validation import validate
from .workshop import Workshop, build_workshop

logger = logging.getLogger(__name__)

BEST = "best"


def distill(stages: tuple[Recipe, ...] | list[Recipe], progress: bool = True) -> Path:
    """Run the stages of a recipe, one after the other; what is done already is not done again.

    Args:
        stages: as :func:`~streaming_wavlm.distill.recipe.load_recipe` gives them.
        progress: whether to show how far it is.

    Returns:
        The folder of the last student, which ``sw.load`` reads.

    Raises:
        TrainingError: a run cannot be continued, or has to give up.
        ConfigError: a recipe's parts do not fit together.
        DataError: the data cannot be read.
        CheckpointError: a teacher or a student's start cannot be read.
    """
    return [Trainer(recipe, progress).run() for recipe in stages][-1]


class Trainer:
    """Runs one stage.

    Killed at any moment and run again, it goes on from its last checkpoint and computes what an undisturbed
    run would have computed, to the last bit on the same machine.

    Args:
        recipe: the recipe.
        progress: whether to show how far it is.
    """

    def __init__(self, recipe: Recipe, progress: bool = True) -> None:
        self.recipe = recipe
        self.folder = Path(recipe.out).expanduser()
        self._progress = progress
        self._store = CheckpointStore(self.folder / CHECKPOINTS, recipe.checkpoints.keep)
        self._ledger = Ledger()
        self._stop = StopRequest()

    def run(self) -> Path:
        """Train to the end.

        Returns:
            The folder of the exported student.

        Raises:
            KeyboardInterrupt: it was asked to stop, and has; the same command goes on.
            TrainingError: it cannot be continued, or has to give up.
            DataError: the data cannot be read.
        """
        recipe = self.recipe
        fabric = build_fabric(recipe.runtime)
        launch(fabric)
        folder = RunFolder(self.folder)
        try:
            if fabric.is_global_zero:
                folder.open(recipe)
            if fabric.broadcast(fabric.is_global_zero and self._is_finished()):
                return self.folder / FINAL
            shop = build_workshop(recipe, fabric)
            trainee = build_trainee(shop, fabric)
            self._resume(fabric, shop, trainee)
            with self._stop:
                self._train(fabric, shop, trainee)
            fabric.barrier()
        finally:
            folder.close()
        return self.folder / FINAL

    def _train(self, fabric: Any, shop: Workshop, trainee: Trainee) -> None:
        recipe, ledger = self.recipe, self._ledger
        do_step = Stepper(shop, fabric, trainee.module, trainee.wrapped)
        provenance = self._provenance(shop) if fabric.is_global_zero else {}
        first = ledger.step
        recording: Recorder | nullcontext[None] = nullcontext()
        if fabric.is_global_zero:
            measured = first - 1 if ledger.unmeasured else first
            recording = Recorder(self.folder, first, recipe.logging.wandb, to_values(recipe), measured)
        progress = Progress(recipe.name, recipe.steps, first, self._progress and fabric.is_global_zero)
        with recording as recorder:
            with progress, closing(shop.loader.steps(first)) as batches:
                if first:
                    progress.say(f"{recipe.name}: going on after step {first}")
                if ledger.unmeasured and self._validation_due(shop):
                    self._validate(fabric, shop, recorder, progress, provenance)
                    self._save(fabric, shop, trainee)
                ledger.unmeasured = False
                for step in range(first, recipe.steps):
                    loaded = next(batches)
                    for why in (why for batch in loaded for why in batch.bad):
                        logger.warning("skipped: %s", why)
                    report = do_step(step, loaded, self._stop.asked)
                    self._account(report, recorder, progress)
                    keep = report.stop or self._due(recipe.checkpoints.every)
                    best = False
                    if self._validation_due(shop):
                        ledger.unmeasured = True
                        if keep:  # what was learnt must not be lost with a validation that fails
                            self._save(fabric, shop, trainee)
                        trainee.bring_home()
                        best = self._validate(fabric, shop, recorder, progress, provenance)
                    if best or keep:
                        self._save(fabric, shop, trainee)
                    if report.stop:
                        raise KeyboardInterrupt
            trainee.bring_home()
            if fabric.is_global_zero:
                self._export(shop, FINAL, provenance)

    def _is_finished(self) -> bool:
        """Whether the student of this recipe is there already."""
        told, wanted = exported_provenance(self.folder / FINAL), to_values(self.recipe)
        before = told.get("recipe", {})
        same = all(before.get(key) == wanted[key] for key in ("steps", "checkpoints"))
        return same and self._store.latest() == told.get("steps") == self.recipe.steps

    def _due(self, every: int) -> bool:
        return self._ledger.step % every == 0 or self._ledger.step == self.recipe.steps

    def _validation_due(self, shop: Workshop) -> bool:
        return shop.held_out is not None and self._due(self.recipe.validation.every)

    def _account(self, report: StepReport, recorder: Recorder | None, progress: Progress) -> None:
        ledger = self._ledger
        ledger.count_data(report.seen, report.bad, report.seconds, self.recipe.data.max_bad_share)
        ledger.count_step(report.finite, self.recipe.limits)
        parts = {f"loss/{name}": value for name, value in report.parts.items()}
        if report.finite:
            ledger.add({"loss": report.loss, "gradient": report.gradient, **parts})
        progress.advance(ledger.step, report.seconds, {"loss": report.loss})
        if self._due(self.recipe.logging.every):
            point = ledger.take_point()
            counts = {
                "lr": report.lr,
                "hours": ledger.seconds / 3600,
                "bad": ledger.bad,
                "skipped": ledger.skipped,
            }
            if recorder is not None:
                recorder.train(ledger.step, {**point, **counts})
                recorder.speed(ledger.step, progress.speed)

    def _validate(
        self,
        fabric: Any,
        shop: Workshop,
        recorder: Recorder | None,
        progress: Progress,
        provenance: dict[str, Any],
    ) -> bool:
        """Measure the student; export it if it is the best so far."""
        assert shop.held_out is not None  # noqa: S101  (its caller looked)
        found = validate(shop.task, shop.teachers, shop.held_out, shop.validation_chunks, fabric)
        if math.isfinite(found.score):  # JSON knows no NaN
            self._ledger.validation = {"step": self._ledger.step, **found.values()}
        best = self._ledger.is_best(found.score)
        self._ledger.unmeasured = False
        if recorder is not None:
            recorder.validation(self._ledger.step, found.values(), found.curves())
            if best:
                self._export(shop, BEST, provenance)
        note = " (best)" if best else ""
        progress.say(f"{self.recipe.name}: step {self._ledger.step}, validation {found.score:.4f}{note}")
        return best

    def _export(self, shop: Workshop, name: str, provenance: dict[str, Any]) -> None:
        ledger = self._ledger
        reached = {
            "steps": ledger.step,
            "hours_of_audio": round(ledger.seconds / 3600, 3),
            "validation": ledger.validation,
        }
        export_student(shop.student, self.folder / name, {**provenance, **reached}, self.recipe.checkpoints)

    def _provenance(self, shop: Workshop) -> dict[str, Any]:
        teachers = [model.description() for model in shop.teachers.models.values()]
        start = shop.student.provenance
        return provenance_of(self.recipe, start=start, teachers=teachers, data=shop.corpus.description())

    def _save(self, fabric: Any, shop: Workshop, trainee: Trainee) -> None:
        state = captured(fabric, shop, trainee, self._ledger)
        if fabric.is_global_zero:
            self._store.save(self._ledger.step, state, self._ledger.best_step)
        fabric.barrier()

    def _resume(self, fabric: Any, shop: Workshop, trainee: Trainee) -> None:
        step = fabric.broadcast(self._store.latest() if fabric.is_global_zero else None)
        if step is None:
            measure_targets(shop, fabric)
            trainee.take_up()
        else:
            self._ledger = restored(self._store.load(step, fabric.device), fabric, shop, trainee)
