"""Stage: the score of the linear probe with fewer labels, which says whether more of them would help."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from pretrieve.artifacts.atomic_files import write_json
from pretrieve.artifacts.keys import content_key
from pretrieve.artifacts.sealed_files import is_kept, read_sealed_json, write_sealed_json
from pretrieve.cluster import causes_of_task_errors
from pretrieve.data.metric_words import find_metrics
from pretrieve.execution.trial_task import TrialTask
from pretrieve.intervals import mean_and_ci95
from pretrieve.records.codec import to_json
from pretrieve.records.label_curve import LabelCurve, LabelCurves
from pretrieve.stages._base import Stage
from pretrieve.stages.champion import has_score
from pretrieve.stages.context import Context
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.repeats import RepeatsStage
from pretrieve.tracking import schema
from pretrieve.training.linear_heads import logistic_regression

LABEL_CURVES = "label_curves"
PROBE = "linear_probe"
SHARES = (0.25, 0.5)
"""Parts of each class's labelled images, beside all of them. The smaller part lies within the larger one."""

VERSION = 1
"""Raise it when the same probe gives another curve."""


class LabelCurvesStage(Stage[LabelCurves]):
    """Fits the probe of each repeat to parts of its labelled images, with the penalty that the repeat chose."""

    name = "label curves"
    place = 112
    is_shared = True

    def applies(self, context: Context) -> bool:
        return any(context.settings.method(name).trained_with == PROBE for name in context.settings.method_names)

    def load(self, context: Context) -> None:
        """Return None: each run looks at the repeats that are there."""
        return

    def make(self, context: Context) -> LabelCurves:
        """Fit what is missing in the store, and record the means over the repeats."""
        probes = {target: _probes(context, target) for target in context.get(ImageSetsStage).targets}
        missing = [task for of_target in probes.values() for task in of_target if not is_kept(_path(context, task))]
        if missing:
            context.cluster.connect()
            with causes_of_task_errors(), context.clock.stage(self.name, total=len(missing)) as progressed:
                run = ray.remote(num_cpus=1)(_scores_of_parts)
                running = {run.remote(task): task for task in missing}
                while running:
                    (done,), _ = ray.wait(list(running))
                    task = running.pop(done)
                    write_sealed_json(_path(context, task), ray.get(done))
                    progressed(len(missing) - len(running), len(missing))
        curves = [_curve(context, target, tasks) for target, tasks in probes.items() if tasks]
        record = LabelCurves(tuple(curves))
        path = context.settings.folder / schema.LABEL_CURVES_ARTIFACT
        write_json(path, to_json(record))
        context.ledger.record_study(metrics={}, tags={}, artifacts=[(path, None)])
        return record


def _probes(context: Context, target: str) -> list[TrialTask]:
    """Return the tested refit of a target's probe in each repeat that has one."""
    finished = context.ledger.finished
    of_rows = [result for of_repeat in context.get(RepeatsStage) for result in of_repeat.cells]
    refits = [result.refits[0] for result in of_rows if result.cell.target == target and result.refits]
    rows = dict.fromkeys(task.spec.method for task in refits if task.spec.objective == PROBE)
    return [
        task for task in refits if task.spec.method == next(iter(rows), None) and has_score(task.spec.key, finished)
    ]


def _path(context: Context, task: TrialTask) -> Path:
    key = content_key(kind="label curve", version=VERSION, probe=task.spec.key, shares=SHARES)
    return context.store.path(LABEL_CURVES, f"{key}.json")


def _curve(context: Context, target: str, tasks: Sequence[TrialTask]) -> LabelCurve:
    found = [read_sealed_json(_path(context, task)) for task in tasks]
    wholes = [context.ledger.finished[task.spec.key].score for task in tasks]
    scores = np.array([[*each["scores"], whole] for each, whole in zip(found, wholes, strict=True)])
    gain, ci95 = mean_and_ci95((scores[:, -1] - scores[:, -2]).tolist())
    return LabelCurve(
        target=target,
        method=tasks[0].spec.method,
        num_images=tuple(found[0]["num_images"]),
        scores=tuple(scores.mean(0).tolist()),
        last_gain=gain,
        last_gain_ci95=None if math.isnan(ci95) else ci95,
        num_repeats=len(tasks),
    )


def _scores_of_parts(task: TrialTask) -> dict[str, list[float]]:
    """Score the probe of a refit with parts of its images; `num_images` ends with the number of all of them."""
    assert task.features is not None, "the plan gives features to every trial that is fitted to them"
    spec, (features, labels), (tested, truth) = task.spec, task.features.to_train(), task.features.to_score()
    (metric,) = find_metrics([spec.metric])
    scores, num_images = [], []
    for rows in nested_parts(labels.numpy(), SHARES, seed=spec.seed):
        part = torch.from_numpy(rows)
        l2 = spec.hyperparameters.get("l2")
        head = logistic_regression(features[part], labels[part], num_classes=spec.num_target_classes, l2=l2)
        outputs = (tested @ head.weight.T + head.bias).double().numpy()
        scores.append(metric.compute(outputs, truth.numpy()))
        num_images.append(len(rows))
    return {"scores": scores, "num_images": [*num_images, len(labels)]}


def nested_parts(labels: NDArray[np.int64], shares: Sequence[float], *, seed: int) -> list[NDArray[np.int64]]:
    """Draw a part of each class's images for each share; a smaller part lies within a larger one.

    Args:
      labels: (N,) class of each image.
      shares: in (0, 1). Of a class, the share of its images rounded down is drawn, and at least one.
      seed: decides which.

    Returns:
      Ascending rows of each part.

    >>> [part.tolist() for part in nested_parts(np.array([0, 0, 0, 0, 1]), (0.25, 0.5), seed=0)]
    [[2, 4], [0, 2, 4]]
    """
    rng = np.random.default_rng(seed)
    shuffled = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    return [
        np.sort(np.concatenate([rows[: max(1, math.floor(share * len(rows)))] for rows in shuffled]))
        for share in shares
    ]
