"""Stage: the class scores of each refit on its test images, kept by image, and logged to the refit's run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import ray

from pretrieve.artifacts.disk_space import write_once_disk_has_space
from pretrieve.artifacts.sealed_files import SealedFile, is_kept
from pretrieve.cluster import causes_of_task_errors
from pretrieve.execution.predictions import predict_again, score_of
from pretrieve.execution.trial_task import TrialTask
from pretrieve.records.predictions import KeptPredictions, write_predictions
from pretrieve.stages._base import Stage
from pretrieve.stages.context import Context
from pretrieve.stages.packing import PackingStage
from pretrieve.stages.repeats import RepeatsStage


class PredictionsStage(Stage[Mapping[str, Path]]):
    """Finds the predictions that each refit wrote; returns their files by the keys of the refits.

    A refit of an earlier version wrote none, and a file may be lost: then they are computed again from the refit's
    weights.
    """

    name = "predictions"
    is_shared = True
    place = 115  # after the models, as a refit whose weights were lost may be trained again for them

    def load(self, context: Context) -> Mapping[str, Path] | None:
        """Return the files where each refit with a score has one, and its run holds the same."""
        kept = _kept(context)
        is_whole = len(kept) == len(_tested(context)) and not _unrecorded(context, kept)
        return kept if is_whole else None

    def make(self, context: Context) -> Mapping[str, Path]:
        """Compute what is missing from the refits' weights, name the refits without weights, and log to MLflow.

        Raises:
          LedgerError: MLflow does not answer.
        """
        kept = _kept(context)
        missing = [task for key, task in _tested(context).items() if key not in kept]
        again = [task for task in missing if task.weights_out is not None and is_kept(task.weights_out)]
        _name_lost([task for task in missing if task not in again], context)
        unrecorded = _unrecorded(context, kept)
        total = len(unrecorded) + len(again)
        if not total:
            return kept
        with context.clock.stage(self.name, total=total) as progressed:
            for number, (key, path) in enumerate(chain(unrecorded.items(), _predicted_again(context, again)), start=1):
                if path.exists():
                    context.ledger.record_predictions(key, path, SealedFile(path).digest)
                progressed(number, total)
        return _kept(context)


def _tested(context: Context) -> dict[str, TrialTask]:
    """Return the refits with a test score by their keys."""
    finished = context.ledger.finished
    refits = [task for repeat in context.get(RepeatsStage) for cell in repeat.cells for task in cell.all_refits]
    return {
        task.spec.key: task
        for task in refits
        if task.spec.key in finished and finished[task.spec.key].score is not None
    }


def _kept(context: Context) -> dict[str, Path]:
    paths = {key: task.predictions.out for key, task in _tested(context).items() if task.predictions is not None}
    return {key: path for key, path in paths.items() if is_kept(path)}


def _unrecorded(context: Context, kept: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files that the runs of their refits do not hold, or hold another version of."""
    ledger, recorded = context.ledger, context.ledger.recorded_predictions()
    return {key: path for key, path in kept.items() if recorded.get(ledger.run_id(key)) != SealedFile(path).digest}


def _predicted_again(context: Context, tasks: Sequence[TrialTask]) -> Iterator[tuple[str, Path]]:
    """Compute predictions from weights; yield key and file of each refit, written where they give its score."""
    if not tasks:
        return
    resources = context.get(PackingStage)
    predict = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus)(predict_again)
    # As many threads as the training had: with others the last bits may differ.
    threads = {"num_threads": resources.cpus}
    pending = {predict.remote(task.model_copy(update=threads)): task for task in tasks}
    while pending:
        (reference,), _ = ray.wait(list(pending), num_returns=1)
        with causes_of_task_errors():
            task, predictions = pending.pop(reference), ray.get(reference)
        assert task.predictions is not None, "the plan gives every refit a file for its predictions"
        if _gives_its_score(context, task, predictions):
            write = partial(write_predictions, task.predictions.out, predictions)
            write_once_disk_has_space(write, context.ledger.notify_disk_full)
        yield task.spec.key, task.predictions.out


def _gives_its_score(context: Context, task: TrialTask, predictions: KeptPredictions) -> bool:
    """Return whether predictions give the score on record; a notice names a refit whose do not."""
    score, found = context.ledger.finished[task.spec.key].score, score_of(task.spec, predictions)
    if found != score:
        context.clock.notice(
            f"no predictions are kept of {_describe(task)}: computed again, they give a test score of {found}, not "
            f"{score} as recorded; run the study again on a machine like the one that its run in MLflow names"
        )
    return found == score


def _name_lost(tasks: Sequence[TrialTask], context: Context) -> None:
    if tasks:
        number = "1 refit has" if len(tasks) == 1 else f"{len(tasks)} refits have"
        context.clock.notice(
            f"{number} no predictions, and no weights to compute them from, the first: {_describe(tasks[0])}. Scores "
            "stay; to train such a refit again, delete its run in MLflow and run the study again"
        )


def _describe(task: TrialTask) -> str:
    return f"{task.spec.target} · {task.spec.method}, {task.spec.describe()}"
