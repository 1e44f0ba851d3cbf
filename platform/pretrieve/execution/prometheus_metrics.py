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

_STEP_PARTS = {
    "data": INPUT_WAIT_FRACTION,
    "forward": FORWARD_FRACTION,
    "backward": BACKWARD_FRACTION,
}


@cache
def _gauge(name: str, description: str, *tag_keys: str) -> Gauge:
    return Gauge(name, description, tag_keys=tag_keys)


@cache
def _counter(name: str, description: str, *tag_keys: str) -> Counter:
    return Counter(name, description, tag_keys=tag_keys)


class TrialFigures:
    """What the worker of one trial exports.

    Args:
      study: its name.
      spec: the trial.
    """

    def __init__(self, study: str, spec: TrialSpec) -> None:
        self._tags = {"study": study, "target": spec.target, "method": spec.method}
        self._on_gpu = False

    def epoch(self, metrics: Mapping[str, float]) -> None:
        """Export an epoch's figures."""
        self._set(metrics)

    def end(self) -> None:
        """Let the worker count as idle: a gauge keeps its last figure otherwise."""
        shown = (IMAGES_PER_S, *_STEP_PARTS.values(), *(name for name in [GPU_MEMORY_GB] if self._on_gpu))
        self._set(dict.fromkeys(shown, 0.0))

    def _set(self, metrics: Mapping[str, float]) -> None:
        keys = tuple(self._tags)
        if IMAGES_PER_S in metrics:
            images = _gauge(IMAGES_PER_SECOND, "images that a trial trains on, of both streams", *keys)
            images.set(metrics[IMAGES_PER_S], self._tags)
        if GPU_MEMORY_GB in metrics:
            self._on_gpu = True
            memory = _gauge(GPU_MEMORY_GIGABYTES, "most that tensors took on the GPU, in 10^9 bytes", *keys)
            memory.set(metrics[GPU_MEMORY_GB], self._tags)
        for part, name in _STEP_PARTS.items():
            if name in metrics:
                share = _gauge(STEP_TIME_FRACTION, "share of the time in a part of the step, in [0, 1]", *keys, "part")
                share.set(metrics[name], {**self._tags, "part": part})


@contextmanager
def exported(study: str, spec: TrialSpec, report: Report) -> Iterator[Report]:
    """Give a report that exports the figures of a trial's epochs as well, until the trial ends."""
    figures = TrialFigures(study, spec)

    def export_and_report(metrics: dict[str, float]) -> None:
        figures.epoch(metrics)
        report(metrics)

    try:
        yield export_and_report
    finally:
        figures.end()


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
