"""Forecasting a study: the stages' estimates, timed by a calibration of the cluster at hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from pretrieve.artifacts.disk_space import disk_use
from pretrieve.execution.measuring.speed import SpeedBook
from pretrieve.records.forecast import Forecast, StageForecast
from pretrieve.stages import walk_order
from pretrieve.stages.backbone import BackboneStage, SelectionBackboneStage
from pretrieve.stages.calibration import calibrate
from pretrieve.stages.cell_counts import CellCountsStage, timed_cells
from pretrieve.stages.context import Context, walking
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.network_check import NetworkCheckStage
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.relationships import find_study_inputs
from pretrieve.study.settings import StudySettings
from pretrieve.study.study_power import forecast_power
from pretrieve.study.walk import as_extended, extended_to, make_folder


def forecast_study(
    settings: StudySettings, observer: StudyObserver, book: SpeedBook | None = None, *, detect: float | None = None
) -> Forecast:
    """Forecast what is left of a study on the cluster of RAY_ADDRESS, else on this machine.

    It computes nothing of the study but what loading its image sets takes, and it downloads the weights of a published
    network where the store lacks them. `book` holds what was measured for other forecasts on the same cluster.
    The forecast is also written into the study's folder. Where nothing is left of the study, nothing is measured.
    `detect` is a true difference in scores: the forecast says how many repeats would find it.

    Raises:
      UserError: the settings do not fit the data or the cluster.
    """
    started = time.perf_counter()
    make_folder(settings.folder)
    settings = as_extended(settings, extended_to(settings), observer.noticed)
    with walking(settings, observer, makes=False) as context:
        context.get(NetworkCheckStage)
        is_prepared, record = find_study_inputs(context) is not None, context.record
        untimed = Forecast(
            study=settings.name,
            cells=context.get(CellCountsStage),
            stages=(),
            num_concurrent=0,
            cpus_per_trial=settings.compute.num_cpus,
            gpus_per_trial=settings.compute.gpus_per_trial or 0.0,
            disk_bytes=0,
            peak_bytes=0,
            measured_s=0.0,
            is_prepared=is_prepared,
            may_stop=settings.search.may_stop,
            stage_seconds_before={} if record is None else dict(record.stage_seconds),
        )
        if is_prepared and not untimed.num_missing:
            power = forecast_power(context, untimed.cells, 0, detect)
            return replace(untimed, power=power)
        sets = context.get(ImageSetsStage)
        networks = [stage for stage in (BackboneStage, SelectionBackboneStage) if stage().applies(context)]
        pretrains = {each.name: each().settings(context) for each in networks if context.find(each) is None}
        measured = calibrate(context, sets, book or SpeedBook(), pretrains=pretrains)
        estimates = [stage().estimate(context, measured) for stage in walk_order() if stage().applies(context)]
        stages = [each for each in estimates if each is not None]
        stages[0] = replace(stages[0], seconds=(stages[0].seconds or 0.0) + measured.connect_s)
        resources = measured.resources
        # So many trials share a GPU's memory, or without GPUs that of the machines.
        num_sharing = max(1, int(1 / resources.gpus)) if resources.gpus > 0 else resources.num_concurrent
        gpus_per_trial = resources.gpus * resources.num_workers
        cells = tuple(timed_cells(context, measured))
        made = replace(
            untimed,
            cells=cells,
            stages=tuple(stages),
            num_concurrent=resources.num_concurrent,
            cpus_per_trial=resources.cpus * resources.num_workers,
            gpus_per_trial=gpus_per_trial,
            disk_bytes=sum(stage.disk_bytes for stage in stages),
            peak_bytes=num_sharing * max(speed.peak_bytes for speed in measured.speeds.values()),
            measured_s=time.perf_counter() - started,
            notes=tuple(_notes(context, stages, is_prepared=is_prepared)),
            used=_used(context, gpus_per_trial),
            power=forecast_power(context, cells, resources.num_concurrent, detect),
        )
    made.write(settings.folder)
    return made


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
            "the study ran before, but the store lacks some of what its trials read: which of its results still count "
            "is not known yet, so none is counted"
        )
    if context.settings.search.may_stop:
        notes.append("the search stops trials early: trials, image passes and hours are upper bounds")
    if unknown := [stage.stage for stage in stages if stage.seconds is None]:
        notes.append(f"how long the stages {' and '.join(unknown)} take is not known, so the sum leaves it out")
    return notes
