"""Stage: the best configuration of each cell, trained on train and val and tested once, for each seed."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pretrieve.execution.trial_task import TrialTask
from pretrieve.intervals import mean_and_ci95
from pretrieve.records.forecast import StageForecast
from pretrieve.records.predictions import PREDICTIONS
from pretrieve.stages._base import Stage
from pretrieve.stages.budget import Refits
from pretrieve.stages.calibration import Calibration
from pretrieve.stages.cell_counts import timed_cells
from pretrieve.stages.context import Context
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.scored_images import prediction_bytes
from pretrieve.stages.study_cells import CellResult, StudyCells
from pretrieve.stages.trials import MLFLOW_BYTES_PER_TRIAL, TrialsStage, run_planned
from pretrieve.stages.workload import makespan
from pretrieve.tracking import schema
from pretrieve.tracking.ledger import Ledger


@dataclass(frozen=True)
class StudyResults:
    """The results of the cells, in the study's order, and the trials and refits that have no result."""

    cells: tuple[CellResult, ...]
    missing: tuple[TrialTask, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every trial and refit has a result."""
        return not self.missing and not any(result.cell.num_unknown for result in self.cells)


class RefitsStage(Stage[StudyResults]):
    """Trains the best configuration of each cell on train and val, once for each seed, and tests it once."""

    name = "refits"
    place = 100

    def load(self, context: Context) -> StudyResults | None:
        study_cells = context.get(TrialsStage)
        context.budget.refits = Refits()
        return None if _missing_refits(study_cells) else _ended(study_cells)

    def make(self, context: Context) -> StudyResults:
        """Run the refits that have no result, unless the budget is used up.

        Raises:
          ResourceError: the cluster does not have what a trial asks for.
        """
        study_cells, clock, budget = context.get(TrialsStage), context.clock, context.budget
        ledger, missing, total = context.ledger, _missing_refits(study_cells), self.num_pieces(context)
        with ledger.delivering(), clock.stage(self.name, total=total, done=total - len(missing)) as progressed:
            used_up = budget.used_up(ledger.finished)
            if used_up is not None:
                clock.notice(f"{used_up}: {len(missing)} refits are not run")
            else:
                if budget.reached is not None:
                    clock.notice("the best of each cell so far is refitted")
                run_planned(context, missing, progressed)
        return _ended(study_cells)

    def num_pieces(self, context: Context) -> int:
        return sum(len(result.all_refits) for result in context.get(TrialsStage).results())

    def estimate(self, context: Context, measured: Calibration) -> StageForecast:
        cells = timed_cells(context, measured)
        missing = [cell for cell in cells for _ in range(cell.num_refits - cell.num_refits_done)]
        refits, targets = [cell.refit_s for cell in missing], context.get(ImageSetsStage).targets
        seconds = measured.tune_start_s + makespan(refits, measured.resources.num_concurrent) if refits else 0.0
        disk_bytes = (measured.weight_bytes + MLFLOW_BYTES_PER_TRIAL) * len(refits)
        disk_bytes += sum(prediction_bytes(targets[cell.target]) for cell in missing)
        return StageForecast(self.name, seconds, f"{len(refits):,} refits" if refits else "", disk_bytes)


def _missing_refits(study_cells: StudyCells) -> list[TrialTask]:
    finished = study_cells.ledger.finished
    return [task for result in study_cells.results() for task in result.all_refits if task.spec.key not in finished]


def _ended(study_cells: StudyCells) -> StudyResults:
    study_cells.ledger.persist(study_cells.ledger.deliver)
    missing = [*study_cells.missing(study_cells.cells), *_missing_refits(study_cells)]
    return StudyResults(tuple(study_cells.results()), tuple(missing))


def remove_leftovers(folder: Path, unfinished: Collection[str]) -> str | None:
    """Remove checkpoints that no planned trial resumes from, half-written files and Tune's own folders.

    Only the study's single driver may call it, while no trial runs. Results, weights and predictions of refits, and
    spools stay, and so do the checkpoints of `unfinished`: the keys of planned trials and refits without a result. It
    returns a sentence that names what was removed; None where nothing was.
    """
    # Those of a fold are named <key>.fold-<number>.
    whole = [path for pattern in ("*.pt", "*.npz") for path in (folder / "checkpoints").glob(pattern)]
    checkpoints = [path for path in whole if path.name.partition(".")[0] not in unfinished]
    halves = [path for kind in ("checkpoints", "refits", PREDICTIONS) for path in (folder / kind).glob(".*.tmp")]
    halves += [path for kind in ("alive", "stack") for path in (folder / "spool").glob(f"*.{kind}")]
    scratch = [path for path in folder.glob("tune-*") if path.is_dir() and not path.is_symlink()]
    for path in (*checkpoints, *halves):
        path.unlink(missing_ok=True)
    for path in scratch:
        shutil.rmtree(path, ignore_errors=True)
    counts = {"checkpoints": len(checkpoints), "half-written files": len(halves), "scratch folders": len(scratch)}
    removed = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"removed what trials of earlier runs had left: {removed}" if removed else None


def record_cells(repeats: Sequence[StudyResults], ledger: Ledger) -> None:
    """Write into the run of each cell what was chosen in each repeat, and the mean scores over the repeats."""
    for of_cell in zip(*(repeat.cells for repeat in repeats), strict=True):
        chosen = {number: result for number, result in enumerate(of_cell) if result.best is not None}
        if not chosen:
            continue
        best_scores = [_score(result.best, ledger) for result in chosen.values() if result.best is not None]
        tested = [_score(task, ledger) for result in chosen.values() for task in result.refits]
        metrics = {schema.BEST_VAL_SCORE: math.fsum(filter(None, best_scores)) / len(best_scores)}
        if scores := [score for score in tested if score is not None]:
            mean, half_width = mean_and_ci95(scores)
            metrics[schema.TEST_MEAN] = mean
            if math.isfinite(half_width):
                metrics[schema.TEST_CI95] = half_width
        tags = {name: value for number, result in chosen.items() for name, value in _tags(result, number).items()}
        cell = of_cell[0].cell
        ledger.record_cell(cell.target, cell.method, metrics=metrics, tags=tags)


def _score(task: TrialTask, ledger: Ledger) -> float | None:
    state = ledger.finished.get(task.spec.key)
    return None if state is None else state.score


def _tags(result: CellResult, repeat: int) -> dict[str, str]:
    assert result.best is not None, "only a cell with a choice is recorded"
    best = result.best.spec
    tags = {
        schema.TAG_BEST: json.dumps(best.hyperparameters.model_dump(exclude_none=True)),
        schema.TAG_BEST_KEY: best.key,
        schema.TAG_REFIT_KEYS: json.dumps([task.spec.key for task in result.refits]),
        schema.TAG_REFIT_KEYS_WITH_LEAKS: json.dumps([task.spec.key for task in result.refits_with_leaks]),
    }
    return {schema.of_repeat(name, repeat): value for name, value in tags.items()}
