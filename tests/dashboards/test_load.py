import json
from pathlib import Path

import pytest

from pretrieve.tracking import schema
from pretrieve_dashboards import DashboardError, load_study
from pretrieve_dashboards.plan import parse_selection


@pytest.fixture(scope="module")
def record(written_study):
    return load_study(written_study.tracking_uri, "fauna")


def test_study_has_its_plan_and_its_own_run(record, written_study):
    assert (record.name, record.run_id, record.backbone) == ("fauna", written_study.study_run, "small_resnet")
    assert record.methods == ("finetune", "uot")
    assert [target.name for target in record.targets] == ["birds", "fish"]
    assert record.targets[0].num_images == {"train": 9, "test": 30}
    assert record.settings == {"name": "fauna", "refit": {"num_seeds": 2}}
    assert record.is_finished
    assert record.stage_seconds == {"trials": 60.0}
    assert record.models == {"birds": "models:/fauna.birds@champion"}


def test_only_trials_of_the_plan_and_refits_of_the_present_best_count(record):
    cell = record.cell("birds", "uot")
    assert [trial.key for trial in cell.trials] == ["birds-uot-0", "birds-uot-1"]
    assert [refit.key for refit in cell.refits] == ["birds-uot-r0", "birds-uot-r1"]
    assert cell.num_planned == 2


def test_trial_has_its_configuration_score_and_time(record):
    first, second = record.cell("birds", "uot").trials
    assert first.hyperparameters == {"lr": 0.1, "weight_decay": 1e-4, "head_lr_ratio": 10.0, "source_weight": 0.3}
    assert (first.state, first.score, first.seconds, first.seed, first.message) == ("finished", 0.75, 2.5, 5, "")
    assert (second.state, second.score, second.message) == ("diverged", None, "not finite")
    assert "source_weight" not in record.cell("birds", "finetune").trials[0].hyperparameters


def test_interval_of_two_refits_is_not_shown_for_the_one_that_remains(record):
    cell = record.cell("birds", "finetune")
    assert [refit.state for refit in cell.refits] == ["finished", "failed"]
    assert (cell.test_mean, cell.test_ci95) == (0.5, None)


def test_unfinished_cell_has_no_best_and_its_resumed_trial_runs(record):
    cell = record.cell("fish", "uot")
    assert (cell.best, cell.best_val_score, cell.refits, cell.test_mean) == (None, None, (), None)
    assert [trial.state for trial in cell.trials] == ["finished", "running"]
    assert cell.trials[1].score is None
    assert cell.trials[1].message == ""


def test_selections_of_methods_outside_the_plan_are_left_out(record):
    (selection,) = record.selections
    assert (selection.method, selection.groups, selection.names) == ("uot", (4, 2), ("kite", "owl"))
    assert (selection.margin, selection.converged) == (None, True)


def test_unknown_study_names_the_experiments_and_the_nearest(written_study):
    with pytest.raises(DashboardError, match=r"'fuana' is not in sqlite.*fauna.*Did you mean 'fauna'\?"):
        load_study(written_study.tracking_uri, "fuana")


def test_experiment_without_a_study_says_so(written_study):
    with pytest.raises(DashboardError, match=r"experiment 'flora' holds none"):
        load_study(written_study.tracking_uri, "flora")


def test_missing_store_is_not_made(tmp_path: Path):
    path = tmp_path / "absent.db"
    with pytest.raises(DashboardError, match=r"there is no file .*absent\.db; run the study first"):
        load_study(f"sqlite:///{path}", "fauna")
    assert not path.exists()


def test_server_that_is_away_is_an_error_without_its_password():
    with pytest.raises(DashboardError, match=r"http://me:\*\*\*@127\.0\.0\.1:9 says"):
        load_study("http://me:secret@127.0.0.1:9", "fauna")


def test_study_without_a_plan_and_then_with_a_broken_one(written_study):
    client = written_study.client
    experiment = client.create_experiment("fungi", artifact_location=_artifacts(written_study))
    run_id = client.create_run(experiment, tags={schema.TAG_KIND: schema.KIND_STUDY}).info.run_id
    with pytest.raises(DashboardError, match=r"has no artifact plan\.json; run the study until"):
        load_study(written_study.tracking_uri, "fungi")
    client.log_dict(run_id, {"backbone": "x"}, "plan.json")
    with pytest.raises(DashboardError, match=r"plan\.json of run .* KeyError: 'settings'"):
        load_study(written_study.tracking_uri, "fungi")
    client.log_text(run_id, "{", "plan.json")
    with pytest.raises(DashboardError, match=r"an artifact must be JSON, but plan\.json of run"):
        load_study(written_study.tracking_uri, "fungi")


def test_summary_of_an_earlier_plan_is_not_shown(written_study):
    client = written_study.client
    experiment = client.create_experiment("ferns", artifact_location=_artifacts(written_study))
    run_id = client.create_run(experiment, tags={schema.TAG_KIND: schema.KIND_STUDY}).info.run_id
    target = {"name": "birds", "metric": "top1", "num_classes": 3, "num_images": {}}
    cells = [{"target": "birds", "method": "uot", "trial_keys": ["new"]}]
    plan = {"backbone": "x", "settings": {}, "methods": ["uot"], "targets": [target], "cells": cells}
    client.log_dict(run_id, plan, "plan.json")
    tags = {
        schema.TAG_KIND: schema.KIND_CELL,
        schema.TAG_TARGET: "birds",
        schema.TAG_METHOD: "uot",
        schema.TAG_BEST: json.dumps({"lr": 0.1}),
        schema.TAG_BEST_KEY: "old",
    }
    cell_run = client.create_run(experiment, tags=tags).info.run_id
    client.log_metric(cell_run, schema.BEST_VAL_SCORE, 0.9)
    client.log_metric(cell_run, schema.TEST_MEAN, 0.9)
    cell = load_study(written_study.tracking_uri, "ferns").cell("birds", "uot")
    assert (cell.run_id, cell.best, cell.best_val_score, cell.test_mean) == (cell_run, None, None, None)


def test_selection_whose_lists_differ_in_length_is_refused():
    content = {
        "target": "a",
        "method": "uot",
        "groups": [1],
        "names": [],
        "scores": [1.0],
        "margin": 0.5,
        "converged": True,
    }
    with pytest.raises(DashboardError, match="groups, names and scores differ in length"):
        parse_selection(content, "uot.json")


def _artifacts(written_study) -> str:
    database = Path(written_study.tracking_uri.removeprefix("sqlite:///"))
    return (database.parent / "artifacts").as_uri()


def test_reading_prints_nothing(written_study, capfd):
    load_study(written_study.tracking_uri, "fauna")
    assert capfd.readouterr() == ("", "")
