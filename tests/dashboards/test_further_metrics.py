"""The metrics beside the score: their means, their words, and where they are shown."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from pretrieve.records import StudyRecord
from pretrieve_dashboards import print_study, render_report
from pretrieve_dashboards.mlflow_notes import shared_runs_view
from pretrieve_dashboards.views.further_metrics import FurtherMetrics, further_score

FURTHER = {"auroc": "mean AUROC", "own": "my own <metric>"}


@pytest.fixture
def study(finished_study: StudyRecord) -> StudyRecord:
    """On birds three refits of uot have 0.5, 0.7 and 0.6 by one metric, and one of them 0.25 by another."""
    birds, other = finished_study.targets
    scores = {
        "finetune": ({"auroc": 0.5}, {"auroc": 0.75}, {"auroc": 0.625}),
        "uot": ({"auroc": 0.5, "own": 0.25}, {"auroc": 0.7}, {"auroc": 0.6}),
    }
    cells = [
        replace(
            cell,
            refits=tuple(
                replace(refit, further_scores=further)
                for refit, further in zip(cell.refits, scores[cell.method], strict=True)
            ),
        )
        if cell.target == "birds"
        else cell
        for cell in finished_study.cells
    ]
    return replace(finished_study, targets=(replace(birds, further_metrics=FURTHER), other), cells=tuple(cells))


def test_a_mean_has_the_interval_of_a_score_where_there_are_refits_for_one(study: StudyRecord) -> None:
    cell = study.cell("birds", "uot")
    found = further_score(cell, "auroc")
    assert found is not None
    assert found[:2] == (pytest.approx(0.6), pytest.approx(4.3027 * 0.1 / 3**0.5, abs=1e-4))
    assert further_score(cell, "own") == (0.25, None, [0.25])
    assert further_score(cell, "macro_f1") is None


def test_the_table_has_a_row_for_each_method_and_a_column_for_each_metric(study: StudyRecord) -> None:
    table = FurtherMetrics().table(study)
    assert list(table.head) == ["target", "method", "mean AUROC", "my own <metric>"]
    assert table.texts() == [
        ["birds", "finetune", "62.5 ± 31.1", "—"],
        ["birds", "uot", "60.0 ± 24.8", "25.0"],
    ]


def test_report_terminal_and_list_of_runs_show_them_only_where_there_are_some(
    study: StudyRecord, finished_study: StudyRecord
) -> None:
    def shown(record: StudyRecord) -> tuple[str, str, list[str]]:
        text = io.StringIO()
        print_study(record, Console(file=text, width=120))
        return render_report(record), text.getvalue(), json.loads(shared_runs_view(record))["selectedColumns"]

    html, text, columns = shown(study)
    assert '<h2 id="further-metrics">Further metrics</h2>' in html
    assert "my own &lt;metric&gt;" in html
    assert "Further metrics on test in %" in text
    assert "60.0 ± 24.8" in text
    assert {"metrics.`val/auroc`", "metrics.`test/own`"} <= set(columns)
    html, text, columns = shown(finished_study)
    assert "further-metrics" not in html
    assert "Further metrics" not in text
    assert not any("auroc" in column for column in columns)


@pytest.mark.shows("about_target", "scores")
def test_the_score_is_named_by_the_words_of_its_metric(finished_study: StudyRecord) -> None:
    birds, other = finished_study.targets

    def legend(*targets: object) -> str:
        text = io.StringIO()
        print_study(replace(finished_study, targets=tuple(targets)), Console(file=text, width=400))
        return text.getvalue()

    second = replace(other, name="fish")
    fish = [replace(cell, target="fish") if cell.target == other.name else cell for cell in finished_study.cells]
    finished_study = replace(finished_study, cells=tuple(fish))
    both = "The score is the top-1 accuracy for birds and the mean accuracy per class for fish."
    assert both in legend(birds, second)
    assert "The score is" not in legend(birds, replace(second, metric="top1"))
    own = {"metric": "my:Own", "metric_label": "share of the sure"}
    assert "The score is the share of the sure." in legend(replace(birds, **own), replace(second, **own))
    assert "scored by share of the sure." in render_report(
        replace(finished_study, targets=(replace(birds, **own), second))
    )
