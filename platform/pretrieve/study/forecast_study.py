"""Forecasting a study: the stages' estimates, timed by a calibration of the cluster at hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from pretrieve.artifacts.disk_space import disk_use
from pretrieve.execution.measuring.speed import SpeedBook
from pretrieve.records.forecast import CellForecast, Forecast, StageForecast
from pretrieve.stages import walk_order
from pretrieve.stages.backbone import BackboneStage
from pretrieve.stages.calibration import Calibration, calibrate
from pretrieve.stages.cell_counts import CellCountsStage, timed_cells
from pretrieve.stages.context import Context, walking
from pretrieve.stages.image_cache import ImageCacheStage
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.relationship import RelationshipStage
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import make_folder


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
        counts = context.get(CellCountsStage)
        is_prepared = context.find(ImageCacheStage) is not None and context.find(RelationshipStage) is not None
        if is_prepared and not any(cell.num_missing for cell in counts):
            return _nothing_left(context)
        measured = calibrate(context, book or SpeedBook(), pretrains=context.find(BackboneStage) is None)
        cells = tuple(timed_cells(context, measured))
        estimates = [stage().estimate(context, measured) for stage in walk_order() if stage().applies(context)]
        stages = [each for each in estimates if each is not None]
        stages[0] = replace(stages[0], seconds=(stages[0].seconds or 0.0) + measured.connect_s)
        gpus_per_trial = measured.resources.gpus * measured.resources.num_workers
        made = Forecast(
            study=settings.name,
            cells=cells,
            stages=tuple(stages),
            num_concurrent=measured.resources.num_concurrent,
            cpus_per_trial=measured.resources.cpus * measured.resources.num_workers,
            gpus_per_trial=gpus_per_trial,
            disk_bytes=sum(stage.disk_bytes for stage in stages),
            peak_bytes=_num_sharing(measured) * max(speed.peak_bytes for speed in measured.speeds.values()),
            measured_s=time.perf_counter() - started,
            is_prepared=is_prepared,
            may_stop=settings.search.may_stop,
            notes=tuple(_notes(context, stages, is_prepared=is_prepared)),
            stage_seconds_before=_stage_seconds(context),
            used=_used(context, gpus_per_trial),
        )
    made.write(settings.folder)
    return made


def _num_sharing(measured: Calibration) -> int:
    """Return how many trials share a GPU's memory, or without GPUs that of the machines."""
    share = measured.resources.gpus
    return max(1, int(1 / share)) if share > 0 else measured.resources.num_concurrent


def _stage_seconds(context: Context) -> dict[str, float]:
    return {} if context.record is None else dict(context.record.stage_seconds)


def _used(context: Context, gpus_per_trial: float) -> dict[str, float]:
    """Add up what a study used until now, as its budget does."""
    settings, record = context.settings, context.record
    disk = disk_use(settings.folder) + disk_use(settings.cache)
    used = {"max_gpu_hours": 0.0, "max_wall_hours": 0.0, "max_disk_gb": disk / 1e9}
    if record is not None:
        runs = [run for cell in record.cells for run in (*cell.trials, *cell.refits)]
        used["max_gpu_hours"] = gpus_per_trial * sum(run.seconds for run in runs) / 3600
        used["max_wall_hours"] = sum(record.stage_seconds.values()) / 3600
    return used


def _notes(context: Context, stages: Sequence[StageForecast], *, is_prepared: bool) -> list[str]:
    notes = []
    if not is_prepared and context.record is not None:
        notes.append(
            "the study ran before, but its preparation is not whole: which of its results still count is not known "
            "before, so none is counted"
        )
    if context.settings.search.may_stop:
        notes.append("the search stops trials early: trials, image passes and hours are upper bounds")
    unknown = [stage.stage for stage in stages if stage.seconds is None]
    if unknown:
        notes.append(f"how long the stages {' and '.join(unknown)} take is not told beforehand, and is not in the sum")
    return notes


def _nothing_left(context: Context) -> Forecast:
    settings = context.settings
    cells = [
        CellForecast(**vars(cell), image_passes=0, trial_s=0.0, refit_s=0.0) for cell in context.get(CellCountsStage)
    ]
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
        stage_seconds_before=_stage_seconds(context),
    )
