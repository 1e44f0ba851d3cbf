"""A whole small study that keeps metrics beside its score, one of them of a user's module."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from mlflow import MlflowClient

from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study
from pretrieve.tracking import schema
from pretrieve_dashboards import render_report
from pretrieve_dashboards.views.further_metrics import FurtherMetrics, further_score

pytestmark = pytest.mark.usefixtures("ray_cluster")

OWN = "own_metric:Confidence"


class Ear(StudyObserver):
    def __init__(self) -> None:
        self.begun: list[TrialEvent] = []

    def trial_event(self, event: TrialEvent) -> None:
        self.begun += [event] if event.state == "started" else []


def test_a_study_keeps_its_further_metrics_from_the_trials_to_the_report(
    make_settings: Callable[..., StudySettings],
) -> None:
    def study(*metrics: str) -> StudySettings:
        target = {"registered": "tiny-a", "metric": list(metrics)}
        grid = {"lr": [0.02], "weight_decay": [0.0], "source_weight": [0.5]}
        return make_settings(targets=[target], methods=["finetune"], grid=grid)

    settings, ear = study("macro_f1", "auroc", OWN), Ear()
    record = run_study(settings, ear)
    assert len(ear.begun) == 3

    client = MlflowClient(settings.tracking())
    (cell,) = record.cells
    (trial,) = cell.trials
    for name in ("auroc", "confidence", "score"):
        values = [figure.value for figure in client.get_metric_history(trial.run_id, f"val/{name}")]
        assert len(values) == 2
        assert all(0 < value <= 1 for value in values)
    assert trial.further_scores.keys() == {"auroc", "confidence"}
    run = client.get_run(cell.refits[0].run_id)
    assert {name for name in run.data.metrics if name.startswith("test/")} == {
        schema.TEST_SCORE,
        "test/auroc",
        "test/confidence",
    }
    assert (run.data.params["metric"], run.data.params["further_metrics"]) == ("macro_f1", f"auroc, {OWN}")

    (target,) = record.targets
    words = {"auroc": "mean AUROC", "confidence": "mean probability of the right class"}
    assert (target.metric, target.metric_label, target.further_metrics) == ("macro_f1", "macro F1", words)
    by_hand = [client.get_run(refit.run_id).data.metrics["test/auroc"] for refit in cell.refits]
    assert further_score(cell, "auroc") == (pytest.approx(np.mean(by_hand)), None, by_hand)
    table = FurtherMetrics().table(record)
    assert tuple(table.head) == ("target", "method", *words.values())
    assert table.texts()[0][2] == ", ".join(f"{100 * value:.1f}" for value in by_hand), "two refits have no interval"
    html = render_report(record)
    assert '<h2 id="further-metrics">Further metrics</h2>' in html
    assert "scored by macro F1" in html

    for metrics, num_trials in ((("macro_f1", OWN, "auroc"), 0), (("macro_f1", "auroc"), 3)):
        ear = Ear()
        run_study(study(*metrics), ear)
        assert len(ear.begun) == num_trials
