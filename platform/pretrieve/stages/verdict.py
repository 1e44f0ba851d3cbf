"""Stage: what the study says of its contrasts, from the kept predictions of all repeats."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from pretrieve.artifacts.atomic_files import write_json
from pretrieve.artifacts.sealed_files import is_kept
from pretrieve.data.metric_words import find_metrics
from pretrieve.metrics import Metric
from pretrieve.records import StudyRecord
from pretrieve.records.codec import to_json
from pretrieve.records.predictions import KeptPredictions, predictions_path, read_predictions
from pretrieve.records.verdict import CHOSEN_ONCE, ContrastVerdict, VerdictRecord
from pretrieve.stages._base import Stage
from pretrieve.stages.context import Context
from pretrieve.stages.image_scores import tested_images
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.looks import take_look
from pretrieve.stages.predictions import PredictionsStage
from pretrieve.stages.repeats import RepeatsStage
from pretrieve.statistics import (
    Contrast,
    Contributions,
    Estimate,
    TestedImages,
    Verdict,
    average_over_targets,
    contributions,
    estimate,
    paired_difference,
    verdicts,
)
from pretrieve.tracking import schema

Pair = tuple[str, str]
Kept = Mapping[tuple[str, str, int], Path]
"""The predictions of a refit by target, row and repeat."""


class VerdictStage(Stage[VerdictRecord]):
    """Compares the rows that the study names; without verdicts where no repeat has what a contrast needs."""

    name = "verdict"
    place = 117
    is_shared = True

    def applies(self, context: Context) -> bool:
        return context.settings.repeats.draws > 1 and bool(context.settings.named_contrasts)

    def load(self, context: Context) -> None:
        """Return None: each run judges anew what is there."""
        return

    def make(self, context: Context) -> VerdictRecord:
        """Judge the contrasts, and record that this number of repeats was looked at.

        Raises:
          LedgerError: MLflow does not answer.
        """
        settings, targets, ledger = context.settings, context.get(ImageSetsStage).targets, context.ledger
        kept = _kept(context)
        repeats = common_repeats(kept, settings.named_contrasts, targets)
        one_look, looks = settings.repeats.looks == "one", []
        if one_look and len(repeats) < settings.repeats.draws:
            context.clock.notice(
                f"no verdict yet: the only one of this study is given at {settings.repeats.draws} repeats, and "
                f"{len(repeats)} are whole"
            )
            repeats = []
        if repeats:
            looks = take_look(ledger, len(repeats))
        metrics = {name: find_metrics([target.metric])[0] for name, target in targets.items()}
        found = judge(settings.named_contrasts, metrics, kept, repeats) if repeats else []
        judged = verdicts(found, margin=settings.margin / 100, looks=() if one_look else looks)
        record = VerdictRecord(
            margin=settings.margin / 100,
            num_repeats=len(repeats),
            looks=tuple(looks),
            contrasts=contrast_records(judged, _named_before(context), settings.choose),
        )
        path = settings.folder / schema.VERDICT_ARTIFACT
        write_json(path, to_json(record))
        context.ledger.record_study(metrics={}, tags={}, artifacts=[(path, None)])
        return record


def common_repeats(kept: Kept, contrasts: Sequence[Pair], targets: Iterable[str]) -> list[int]:
    """Return the repeats that have predictions of every row of the contrasts on every target."""
    needed = {(target, row) for target in targets for pair in contrasts for row in pair}
    there = Counter(repeat for target, row, repeat in kept if (target, row) in needed)
    return sorted(repeat for repeat, count in there.items() if count == len(needed))


def judge(
    contrasts: Sequence[Pair],
    metrics: Mapping[str, Metric],
    kept: Kept,
    repeats: Sequence[int],
    blocks: Sequence[Hashable] | None = None,
) -> list[Contrast]:
    """Estimate each contrast on the average over the targets, where there are several, and on each target.

    `blocks` names the machine of each repeat, where there are several.
    """

    @cache
    def row(target: str, name: str) -> Contributions:
        predictions = [read_predictions(kept[target, name, repeat]) for repeat in repeats]
        return contributions([images_tested(each, metrics[target]) for each in predictions])

    averages, singles = [], []
    for first, second in contrasts:
        differences: dict[str, Estimate] = {
            target: estimate(paired_difference(row(target, first), row(target, second)), blocks) for target in metrics
        }
        if len(metrics) > 1:
            averages.append(Contrast(first, second, None, average_over_targets(list(differences.values()))))
        singles += [Contrast(first, second, target, each) for target, each in differences.items()]
    return [*averages, *singles]


def images_tested(predictions: KeptPredictions, metric: Metric) -> TestedImages:
    """Return what each test image of a refit contributes to its score by a metric.

    An image that the split lists more than once, perhaps in two classes, counts each time, under a name of its own.
    """
    names, seen = [], Counter[str]()
    labels = predictions.labels.astype(np.int64)
    for image, label in zip(predictions.images.tolist(), labels.tolist(), strict=True):
        name = f"{image}/{label}"
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tested_images(names, predictions.scores, labels, metric)


def kept_of_record(record: StudyRecord, folder: Path) -> dict[tuple[str, str, int], Path]:
    """Return the whole predictions in a study's folder of the refits that its record lists."""
    paths = {
        (cell.target, cell.method, refit.repeat): predictions_path(folder, refit.key)
        for cell in record.cells
        for refit in cell.refits
    }
    return {refit: path for refit, path in paths.items() if is_kept(path)}


def _kept(context: Context) -> dict[tuple[str, str, int], Path]:
    paths, repeats = context.get(PredictionsStage), context.get(RepeatsStage)
    return {
        (cell.cell.target, cell.cell.method, number): paths[task.spec.key]
        for number, repeat in enumerate(repeats)
        if repeat.is_whole or context.budget.reached is None  # a larger budget may choose otherwise in its last repeat
        for cell in repeat.cells
        for task in cell.refits
        if task.spec.key in paths
    }


def _named_before(context: Context) -> set[Pair]:
    found = json.loads(context.ledger.study_tags().get(schema.TAG_CONTRASTS, "[]"))
    return {(first, second) for first, second in found}


def contrast_records(judged: Sequence[Verdict], known: Collection[Pair], choose: str) -> tuple[ContrastVerdict, ...]:
    """Return the verdicts as records; contrasts that are not in `known` are exploratory."""
    return tuple(_record(each, known, choose) for each in judged)


def _record(verdict: Verdict, known: Collection[Pair], choose: str) -> ContrastVerdict:
    contrast, interval = verdict.contrast, verdict.interval
    is_exploratory = (contrast.first, contrast.second) not in known
    remark = " This contrast was named after the first trials: it is exploratory." if is_exploratory else ""
    if choose == "first_repeat":
        remark = f" {CHOSEN_ONCE}{remark}"
    return ContrastVerdict(
        first=contrast.first,
        second=contrast.second,
        target=contrast.target,
        word=verdict.word,
        sentence=verdict.sentence + remark,
        differences=tuple(map(float, contrast.difference.scores)),
        mean=contrast.difference.mean,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        level=None if interval is None else interval.level,
        is_exploratory=is_exploratory,
        repeats_to_decide=verdict.repeats_to_decide,
    )
