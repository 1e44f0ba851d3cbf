import json
from dataclasses import replace

from pretrieve.tracking import schema
from pretrieve_dashboards import experiment_note
from pretrieve_dashboards.mlflow_notes import RUNS_VIEW, runs_view_address, shared_runs_view


def columns(record):
    return json.loads(shared_runs_view(record))["selectedColumns"]


def test_the_view_has_scores_and_the_hyperparameters_that_the_study_has(finished_study):
    shown = columns(finished_study)
    assert {"metrics.`val/score`", "metrics.`test/score_mean`", "params.`lr`", "params.`source_weight`"} <= set(shown)
    assert "params.`top_k`" not in shown
    assert shown.index("metrics.`val/score`") < shown.index("params.`lr`")
    alone = replace(finished_study, cells=tuple(c for c in finished_study.cells if c.method == "finetune"))
    assert "params.`source_weight`" not in columns(alone)


def test_an_unfinished_study_has_a_view_too(unfinished_study):
    assert "params.`lr`" in columns(unfinished_study)


def test_the_note_leads_to_the_view_by_its_key(finished_study):
    assert schema.TAG_RUNS_VIEW.endswith(f".{RUNS_VIEW}")
    address = runs_view_address(finished_study)
    assert address in experiment_note(finished_study)
    assert address.endswith(f"viewStateShareKey={RUNS_VIEW}")
