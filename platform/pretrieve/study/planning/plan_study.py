"""Forecasting a study: counted from its settings and its ledger, timed by a calibration of the cluster at hand."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pretrieve.backbones import find_architecture
from pretrieve.data.image_set import ImageSet
from pretrieve.execution.measuring.speed import SpeedBook
from pretrieve.methods import METHODS
from pretrieve.records import CellRecord, StudyRecord
from pretrieve.records.forecast import CellForecast, Forecast, StageForecast
from pretrieve.search.grid import GridSettings
from pretrieve.search.strategies.search_space import SearchSpace
from pretrieve.stages import walk_order
from pretrieve.stages.backbone import BackboneStage
from pretrieve.stages.context import Context, NotMadeError, walking
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.relationship import trial_inputs
from pretrieve.stages.trial_inputs import Materials
from pretrieve.study.cells import Planner, objective_of
from pretrieve.study.disk_use import cache_disk_use, study_disk_use
from pretrieve.study.opening import make_folder
from pretrieve.study.planning.calibration import Calibration, calibrate
from pretrieve.study.planning.workload import makespan, refit_work, trial_work
from pretrieve.study.settings import StudySettings
from pretrieve.study.trial_plan import SETTLING_METHOD
from pretrieve.training.settings import Hyperparameters

TUNE_START_S = 3.0
"""What Tune needs until its first process is asked for, and to clear up at its end."""

MODEL_S = 0.5
"""Registering the best model of a target with MLflow."""

REPORT_S = 1.5
REPORT_S_PER_TRIAL = 0.002
"""Reading a study of 4,000 trials and writing its page (benchmarks/report_scale.py)."""

MLFLOW_BYTES_PER_TRIAL = 60_000

FINISHED = ("finished", "diverged")


def forecast_study(settings: StudySettings, observer: StudyObserver, book: SpeedBook | None = None) -> Forecast:
    """Forecast what is left of a study on the cluster of RAY_ADDRESS, else on this machine.

    It computes nothing of the study but what loading its image sets takes, and the weights of a published network are
    fetched where they are not there.

    Args:
      settings: the study.
      observer: hears of the loading.
      book: knows what was measured for other forecasts on the same cluster.

    Returns:
      The forecast, also written into the study's folder; of a study with nothing left no calibration is made.

    Raises:
      UserError: the settings do not fit the data or the cluster.
    """
    started = time.perf_counter()
    make_folder(settings.folder)
    with walking(settings, observer, makes=False) as context:
        targets = context.get(ImageSetsStage).targets
        record, materials = _record(settings), _inputs(context)
        counted = _Counting(settings, targets, materials, record).cells()
        if materials is not None and not any(cell.num_missing for cell in counted):
            return _nothing_left(settings, counted, record)
        measured = calibrate(context, book or SpeedBook(), pretrains=context.find(BackboneStage) is None)
        estimates = [stage().estimate(context, measured) for stage in walk_order() if stage().applies(context)]
    before = [each for each in estimates if each is not None]
    cells = [cell.timed(settings, targets[cell.target], measured) for cell in counted]
    stages = [*before, *_training_stages(settings, cells, measured)]
    stages[0] = replace(stages[0], seconds=(stages[0].seconds or 0.0) + measured.connect_s)
    made = Forecast(
        study=settings.name,
        cells=tuple(cells),
        stages=tuple(stages),
        num_concurrent=measured.resources.num_concurrent,
        cpus_per_trial=measured.resources.cpus * measured.resources.num_workers,
        gpus_per_trial=measured.resources.gpus * measured.resources.num_workers,
        disk_bytes=sum(stage.disk_bytes for stage in before) + _training_bytes(settings, cells, measured),
        peak_bytes=_num_sharing(measured) * max(speed.peak_bytes for speed in measured.speeds.values()),
        measured_s=time.perf_counter() - started,
        is_prepared=materials is not None,
        may_stop=settings.search.may_stop,
        notes=tuple(_notes(settings, materials, record, stages)),
        stage_seconds_before={} if record is None else dict(record.stage_seconds),
        used=_used(settings, record, measured.resources.gpus * measured.resources.num_workers),
    )
    made.write(settings.folder)
    return made


def _num_sharing(measured: Calibration) -> int:
    """Return how many trials share a GPU's memory, or without GPUs that of the machines."""
    share = measured.resources.gpus
    return max(1, int(1 / share)) if share > 0 else measured.resources.num_concurrent


def _used(settings: StudySettings, record: StudyRecord | None, gpus_per_trial: float) -> dict[str, float]:
    """Add up what a study used until now, as its budget does."""
    disk = sum(study_disk_use(settings.folder).values()) + sum(cache_disk_use(settings.cache).values())
    used = {"max_gpu_hours": 0.0, "max_wall_hours": 0.0, "max_disk_gb": disk / 1e9}
    if record is not None:
        runs = [run for cell in record.cells for run in (*cell.trials, *cell.refits)]
        used["max_gpu_hours"] = gpus_per_trial * sum(run.seconds for run in runs) / 3600
        used["max_wall_hours"] = sum(record.stage_seconds.values()) / 3600
    return used


def _record(settings: StudySettings) -> StudyRecord | None:
    from pretrieve_dashboards import load_study
    from pretrieve_dashboards.errors import DashboardError

    try:
        return load_study(settings.tracking(), settings.name)
    except DashboardError:  # it was never run
        return None


def _inputs(context: Context) -> Materials | None:
    """Describe what the trials are made of where all of it is in the store; else None."""
    try:
        return trial_inputs(context)
    except NotMadeError:
        return None


@dataclass(frozen=True)
class _CountedCell:
    target: str
    method: str
    num_trials: int
    num_done: int
    num_refits: int
    num_refits_done: int

    @property
    def num_missing(self) -> int:
        return self.num_trials - self.num_done + self.num_refits - self.num_refits_done

    def timed(self, settings: StudySettings, target: ImageSet, measured: Calibration) -> CellForecast:
        objective = objective_of(self.method, settings)
        trial = trial_work(settings.training, target, objective)
        refit = refit_work(settings.training, target, objective)
        num_trials, num_refits = self.num_trials - self.num_done, self.num_refits - self.num_refits_done
        speed = measured.speeds[objective]
        return CellForecast(
            **vars(self),
            image_passes=num_trials * trial.image_passes + num_refits * refit.image_passes,
            trial_s=trial.seconds(speed),
            refit_s=refit.seconds(speed),
        )


@dataclass(frozen=True)
class _Counting:
    """Counts the trials of each cell, and those that the ledger has."""

    settings: StudySettings
    targets: Mapping[str, ImageSet]
    materials: Materials | None
    record: StudyRecord | None

    def cells(self) -> list[_CountedCell]:
        settings = self.settings
        planner = None
        if self.materials is not None:
            planner = Planner(settings, self.materials, lambda key: settings.folder / "spool" / f"{key}.jsonl")
        return [self._cell(target, method, planner) for target in self.targets for method in settings.methods]

    def _cell(self, target: str, method: str, planner: Planner | None) -> _CountedCell:
        settings, grid = self.settings, self._grid(target, method)
        if settings.search.proposes:
            space = SearchSpace.of(grid, METHODS[method])
            num_trials = int(min(settings.search.num_trials, space.num_points))
        else:
            num_trials = len(grid.points(METHODS[method]))
        done: Collection[str] = ()
        refits_done = 0
        known = self._known(target, method)
        if planner is not None and known is not None:
            states = (*FINISHED, "stopped") if settings.search.may_stop else FINISHED
            finished = {trial.key for trial in known.trials if trial.state in states}
            planned = {task.spec.key for task in planner.cell(target, method, grid).trials}
            num_trials = num_trials if settings.search.proposes else len(planned)
            if settings.search.proposes:
                points = {
                    trial.key: Hyperparameters.model_validate(dict(trial.hyperparameters)) for trial in known.trials
                }
                planned = {planner.trial(target, method, point).spec.key for point in points.values()}
            done = finished & planned
            refits_done = sum(refit.state in FINISHED for refit in known.refits)
        num_done = min(len(done), num_trials)
        num_refits = settings.refit.num_seeds
        if num_done < num_trials:
            refits_done = 0  # another configuration may turn out the best
        return _CountedCell(target, method, num_trials, num_done, num_refits, min(refits_done, num_refits))

    def _grid(self, target: str, method: str) -> GridSettings:
        """Return the grid of a cell, whose head ratio the settling cell may have chosen."""
        grid = self.settings.grid
        if not grid.settles_head_lr_ratio(self.settings.methods) or method == SETTLING_METHOD:
            return grid
        settled = self._known(target, SETTLING_METHOD)
        best = settled.best if settled is not None else None
        return grid.with_head_lr_ratio(best["head_lr_ratio"] if best else grid.head_lr_ratio[0])

    def _known(self, target: str, method: str) -> CellRecord | None:
        cells = () if self.record is None else self.record.cells
        return next((cell for cell in cells if (cell.target, cell.method) == (target, method)), None)


def _training_stages(
    settings: StudySettings, cells: Sequence[CellForecast], measured: Calibration
) -> list[StageForecast]:
    num_concurrent = measured.resources.num_concurrent
    start_s = TUNE_START_S + max(speed.process_s for speed in measured.speeds.values())
    num_trials = sum(cell.num_trials - cell.num_done for cell in cells)
    # One of each cell in turn, as they are begun.
    most = max((cell.num_trials - cell.num_done for cell in cells), default=0)
    in_turns = [cell.trial_s for turn in range(most) for cell in cells if turn < cell.num_trials - cell.num_done]
    trials_s = start_s + makespan(in_turns, num_concurrent) if num_trials else 0.0
    refits = [cell.refit_s for cell in cells for _ in range(cell.num_refits - cell.num_refits_done)]
    refits_s = start_s + makespan(refits, num_concurrent) if refits else 0.0
    report_s = REPORT_S + REPORT_S_PER_TRIAL * sum(cell.num_trials + cell.num_refits for cell in cells)
    num_targets = len(settings.targets)
    return [
        StageForecast("trials", trials_s, f"{num_trials:,} trials" if num_trials else ""),
        StageForecast("refits", refits_s, f"{len(refits):,} refits" if refits else ""),
        StageForecast("models", MODEL_S * num_targets, f"{num_targets} models"),
        StageForecast("report", report_s, "1 page"),
    ]


def _training_bytes(settings: StudySettings, cells: Sequence[CellForecast], measured: Calibration) -> int:
    network = find_architecture(settings.backbone.architecture_name).build()
    weights = sum(4 * parameter.numel() for parameter in network.parameters())
    num_refits = sum(cell.num_refits - cell.num_refits_done for cell in cells)
    num_runs = sum(cell.num_trials - cell.num_done for cell in cells) + num_refits
    # A checkpoint holds the weights and their momentum; a model is registered with a copy of its weights.
    checkpoints = 2 * weights * measured.resources.num_concurrent
    return weights * (num_refits + len(settings.targets)) + checkpoints + MLFLOW_BYTES_PER_TRIAL * num_runs


def _notes(
    settings: StudySettings,
    materials: Materials | None,
    record: StudyRecord | None,
    stages: Sequence[StageForecast],
) -> list[str]:
    notes = []
    if materials is None and record is not None:
        notes.append(
            "the study ran before, but its preparation is not whole: which of its results still count is not known "
            "before, so none is counted"
        )
    if settings.search.may_stop:
        notes.append("the search stops trials early: trials, image passes and hours are upper bounds")
    unknown = [stage.stage for stage in stages if stage.seconds is None]
    if unknown:
        notes.append(f"how long the stages {' and '.join(unknown)} take is not told beforehand, and is not in the sum")
    return notes


def _nothing_left(settings: StudySettings, counted: Sequence[_CountedCell], record: StudyRecord | None) -> Forecast:
    cells = [CellForecast(**vars(cell), image_passes=0, trial_s=0.0, refit_s=0.0) for cell in counted]
    return Forecast(
        study=settings.name,
        cells=tuple(cells),
        stages=(),
        num_concurrent=0,
        cpus_per_trial=settings.compute.num_cpus,
        gpus_per_trial=settings.compute.gpus_per_trial or 0.0,
        disk_bytes=0,
        peak_bytes=0,
        measured_s=0.0,
        is_prepared=True,
        may_stop=settings.search.may_stop,
        stage_seconds_before={} if record is None else dict(record.stage_seconds),
    )
