"""Figures of a running study for Prometheus, by the exporter that Ray has on every node; it puts `ray_` before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache

from ray.util.metrics import Counter, Gauge

from pretrieve.metrics import BACKWARD_FRACTION, FORWARD_FRACTION, GPU_MEMORY_GB, IMAGES_PER_S, INPUT_WAIT_FRACTION
from pretrieve.tracking.spool import FailureKind
from pretrieve.training.trial_spec import TrialSpec

IMAGES_PER_SECOND = "pretrieve_images_per_second"
STEP_TIME_FRACTION = "pretrieve_step_time_fraction"
GPU_MEMORY_GIGABYTES = "pretrieve_gpu_memory_gigabytes"
TRIALS_RUNNING = "pretrieve_trials_running"
TRIALS_ENDED = "pretrieve_trials_ended"
FAILURES = "pretrieve_failures"
SPOOL_DEPTH = "pretrieve_spool_depth"

Report = Callable[[dict[str, float]], None]

_STEP_TIME = "share of the time in a part of the step, in [0, 1]"
_EXPORTED: dict[str, tuple[str, str, dict[str, str]]] = {
    IMAGES_PER_S: (IMAGES_PER_SECOND, "images that a trial trains on, of both streams", {}),
    GPU_MEMORY_GB: (GPU_MEMORY_GIGABYTES, "most that tensors took on the GPU, in 10^9 bytes", {}),
    INPUT_WAIT_FRACTION: (STEP_TIME_FRACTION, _STEP_TIME, {"part": "data"}),
    FORWARD_FRACTION: (STEP_TIME_FRACTION, _STEP_TIME, {"part": "forward"}),
    BACKWARD_FRACTION: (STEP_TIME_FRACTION, _STEP_TIME, {"part": "backward"}),
}
"""Gauge, its description and its own tags, by a trial's metric."""


@cache
def _gauge(name: str, description: str, *tag_keys: str) -> Gauge:
    return Gauge(name, description, tag_keys=tag_keys)


@cache
def _counter(name: str, description: str, *tag_keys: str) -> Counter:
    return Counter(name, description, tag_keys=tag_keys)


def export_epoch(study: str, spec: TrialSpec, metrics: Mapping[str, float]) -> None:
    """Export what a trial measured of an epoch, from the process of its worker."""
    of_trial = {"study": study, "target": spec.target, "method": spec.method}
    for metric, (name, description, tags) in _EXPORTED.items():
        if metric in metrics:
            _gauge(name, description, *of_trial, *tags).set(metrics[metric], {**of_trial, **tags})


@contextmanager
def exported(study: str, spec: TrialSpec, report: Report) -> Iterator[Report]:
    """Yield a report that exports the metrics of a trial's epochs as well, until the trial ends."""
    shown = {*_EXPORTED} - {GPU_MEMORY_GB}

    def export_and_report(metrics: dict[str, float]) -> None:
        shown.update(metrics)
        export_epoch(study, spec, metrics)
        report(metrics)

    try:
        yield export_and_report
    finally:
        # A gauge keeps its last figure otherwise, and the worker would not count as idle.
        export_epoch(study, spec, dict.fromkeys(shown, 0.0))


class StudyFigures:
    """What the driver of a study exports.

    Args:
      study: its name.
    """

    def __init__(self, study: str) -> None:
        self._tags = {"study": study}

    def running(self, number: int) -> None:
        """Say how many trials run."""
        _gauge(TRIALS_RUNNING, "trials and refits that run now", "study").set(number, self._tags)

    def ended(self, kind: FailureKind | None) -> None:
        """Count a trial that ended, well or by a kind of failure."""
        ended = _counter(TRIALS_ENDED, "trials and refits that ended in this run of the study", "study", "end")
        ended.inc(1, {**self._tags, "end": kind or "result"})

    def failed(self, kind: FailureKind) -> None:
        """Count an end of a trial's process before the trial's own."""
        failures = _counter(FAILURES, "processes that ended before their trials did, by kind", "study", "kind")
        failures.inc(1, {**self._tags, "kind": kind})

    def spool_depth(self, number: int) -> None:
        """Say how many trials have figures that MLflow may not hold yet."""
        depth = _gauge(
            SPOOL_DEPTH, "trials whose figures MLflow may not hold yet: those that run, and what waits", "study"
        )
        depth.set(number, self._tags)
