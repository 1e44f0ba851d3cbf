"""Metrics of a running study for Prometheus. Ray's exporter on each node serves them, with `ray_` before each name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache

from ray.util.metrics import Counter, Gauge

from pretrieve.metric_names import BACKWARD_FRACTION, FORWARD_FRACTION, GPU_MEMORY_GB, IMAGES_PER_S, INPUT_WAIT_FRACTION
from pretrieve.tracking.spool import FailureKind
from pretrieve.training.trial_spec import TrialSpec

Report = Callable[[dict[str, float]], None]

_STEP_TIME = ("pretrieve_step_time_fraction", "share of the time in a part of the step, in [0, 1]")
_EXPORTED: dict[str, tuple[str, str, dict[str, str]]] = {
    IMAGES_PER_S: ("pretrieve_images_per_second", "images that a trial trains on, of both streams", {}),
    GPU_MEMORY_GB: ("pretrieve_gpu_memory_gigabytes", "most that tensors took on the GPU, in 10^9 bytes", {}),
    INPUT_WAIT_FRACTION: (*_STEP_TIME, {"part": "data"}),
    FORWARD_FRACTION: (*_STEP_TIME, {"part": "forward"}),
    BACKWARD_FRACTION: (*_STEP_TIME, {"part": "backward"}),
}
"""For each metric of a trial: the gauge's name, its description and its own tags."""


# Made once for each name, description and tags.
_gauge, _counter = cache(Gauge), cache(Counter)


def export_epoch(study: str, spec: TrialSpec, metrics: Mapping[str, float]) -> None:
    """Export the metrics of an epoch, from the process of the trial's worker."""
    of_trial = {"study": study, "target": spec.target, "method": spec.method}
    for metric, (name, description, tags) in _EXPORTED.items():
        if metric in metrics:
            _gauge(name, description, (*of_trial, *tags)).set(metrics[metric], {**of_trial, **tags})


@contextmanager
def exported(study: str, spec: TrialSpec, report: Report) -> Iterator[Report]:
    """Yield a function that exports the metrics of an epoch and then calls `report`."""
    shown = {*_EXPORTED} - {GPU_MEMORY_GB}

    def export_and_report(metrics: dict[str, float]) -> None:
        shown.update(metrics)
        export_epoch(study, spec, metrics)
        report(metrics)

    try:
        yield export_and_report
    finally:
        # Otherwise each gauge keeps its last value, and the worker would not count as idle.
        export_epoch(study, spec, dict.fromkeys(shown, 0.0))


class StudyMetrics:
    """The metrics that the driver of a study exports."""

    def __init__(self, study: str) -> None:
        self._tags = {"study": study}

    def running(self, number: int) -> None:
        """Export how many trials run."""
        _gauge("pretrieve_trials_running", "trials and refits that run now", ("study",)).set(number, self._tags)

    def ended(self, kind: FailureKind | None) -> None:
        """Count a trial that ended, with a result (None) or by a kind of failure."""
        description = "trials and refits that ended in this run of the study"
        counter = _counter("pretrieve_trials_ended", description, ("study", "end"))
        counter.inc(1, {**self._tags, "end": kind or "result"})

    def failed(self, kind: FailureKind) -> None:
        """Count a process that ended before its trial did."""
        description = "processes that ended before their trials did, by kind"
        _counter("pretrieve_failures", description, ("study", "kind")).inc(1, {**self._tags, "kind": kind})

    def spool_depth(self, number: int) -> None:
        """Export how many trials have metrics that MLflow may not hold yet."""
        description = "trials whose figures MLflow may not hold yet: those that run, and what waits"
        _gauge("pretrieve_spool_depth", description, ("study",)).set(number, self._tags)
