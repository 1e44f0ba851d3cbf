import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow.entities import Metric, Param

from pretrieve.components import VIEWS
from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import table_of_contents
from pretrieve.methods import find_method
from pretrieve.records import Attempt, PlannedCell, PlanRecord, SelectionRecord, TargetRecord
from pretrieve.records.codec import from_json, to_json
from pretrieve.stages.selection_record import selection_record
from pretrieve.stages.source_units import ClassUnits
from pretrieve.tracking import schema
from pretrieve_dashboards import DashboardError, load_study, ranked_similarity, score_table
from pretrieve_dashboards.views._base import of_cell
from pretrieve_selection import Selection


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
    old = (
        r"plan\.json of run .* was written by version 0\.1, .*; run the study again in a fresh folder \(or under anoth"
    )
    with pytest.raises(DashboardError, match=old):
        load_study(written_study.tracking_uri, "fungi")
    plan = to_json(PlanRecord("x", {}, (), (), ()))
    client.log_dict(run_id, plan | {"methods": ["uot", 3]}, "plan.json")
    with pytest.raises(DashboardError, match=r"plan\.json of run .* but methods\.1 is 3: Input should be a valid str"):
        load_study(written_study.tracking_uri, "fungi")
    client.log_text(run_id, "{", "plan.json")
    with pytest.raises(DashboardError, match=r"a record must be JSON, but plan\.json of run"):
        load_study(written_study.tracking_uri, "fungi")


def test_summary_of_an_earlier_plan_is_not_shown(written_study):
    client = written_study.client
    experiment = client.create_experiment("ferns", artifact_location=_artifacts(written_study))
    run_id = client.create_run(experiment, tags={schema.TAG_KIND: schema.KIND_STUDY}).info.run_id
    client.log_dict(run_id, _plan(["new"], {}), "plan.json")
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


def _plan(keys, settings):
    """Return the file of a plan of one cell."""
    cell = PlannedCell("birds", "uot", tuple(keys), len(keys))
    return to_json(PlanRecord("x", settings, ("uot",), (TargetRecord("birds", "top1", 3, {}),), (cell,)))


def _write_study(written_study, name, trials, grid, best=None):
    """Write a study of one cell: its trials are (key, parameters, tags, metrics), its best (key, configuration)."""
    client = written_study.client
    experiment = client.create_experiment(name, artifact_location=_artifacts(written_study))
    study = client.create_run(experiment, tags={schema.TAG_KIND: schema.KIND_STUDY}).info.run_id
    client.log_dict(study, _plan([trial[0] for trial in trials], {"grid": grid}), "plan.json")
    for key, params, tags, metrics in trials:
        every_tag = {schema.TAG_KIND: schema.KIND_TRIAL, schema.TAG_KEY: key, **tags}
        run_id = client.create_run(experiment, tags=every_tag).info.run_id
        client.log_batch(
            run_id,
            params=[Param(name, str(value)) for name, value in params.items()],
            metrics=[Metric(name, value, 1, 0) for name, value in metrics.items()],
        )
        client.set_terminated(run_id)
    if best is not None:
        cell_of = {schema.TAG_KIND: schema.KIND_CELL, schema.TAG_TARGET: "birds", schema.TAG_METHOD: "uot"}
        chosen = {schema.TAG_BEST_KEY: best[0], schema.TAG_BEST: json.dumps(best[1])}
        client.create_run(experiment, tags={**cell_of, **chosen})
    return load_study(written_study.tracking_uri, name).cell("birds", "uot")


FINISHED = {schema.TAG_OUTCOME: "finished"}


def test_trials_of_a_grid_of_numbers_of_groups_have_theirs_also_where_they_are_older(written_study):
    """The older one knows only `selection.top_k`; it is the cell's best, chosen before the grid had numbers."""
    point = {"lr": 0.1, "weight_decay": 1e-4, "head_lr_ratio": 10.0, "source_weight": 0.3}
    old = {**point, "selection.top_k": 100, "selection.num_selected": 100}
    new = {**point, "top_k": 50, "selection.top_k": 50, "selection.num_selected": 50}
    trials = [("new", new, FINISHED, {schema.VAL_SCORE: 0.5}), ("old", old, FINISHED, {schema.VAL_SCORE: 0.75})]
    cell = _write_study(written_study, "falcons", trials, {"top_k": [50, 100]}, best=("old", point))
    assert [trial.hyperparameters for trial in cell.trials] == [{**point, "top_k": 50}, {**point, "top_k": 100}]
    assert cell.best == cell.trials[1].hyperparameters
    table = VIEWS.build("grid", {}).table(of_cell(load_study(written_study.tracking_uri, "falcons"), cell))
    assert table.head[1:] == ("<span>K 100</span>", "<span>K 50</span>")
    assert [(entry.text, entry.is_best) for entry in table.rows[0][1:]] == [("75.0", True), ("50.0", False)]


def test_grid_without_numbers_of_groups_shows_none(written_study):
    params = {"lr": 0.1, "top_k": 50, "selection.top_k": 50, "selection.num_selected": 50}
    best = ("one", {"lr": 0.1, "top_k": 50})
    cell = _write_study(written_study, "finches", [("one", params, FINISHED, {})], {"top_k": None}, best=best)
    assert [trial.hyperparameters for trial in cell.trials] == [{"lr": 0.1}]
    assert cell.best == {"lr": 0.1}


def test_finished_trial_keeps_the_message_of_its_end_and_not_that_of_an_earlier_failure(written_study):
    """MLflow keeps the tag of an attempt that failed: only parts, which the metrics tell too, are of the last one."""
    trials = [
        ("parts", {}, FINISHED | {schema.TAG_MESSAGE: "computed in 2 parts"}, {schema.NUM_PARTS: 2.0}),
        ("retried", {}, FINISHED | {schema.TAG_MESSAGE: "Traceback: disk full"}, {schema.VAL_SCORE: 0.5}),
    ]
    cell = _write_study(written_study, "flamingos", trials, {})
    assert [(trial.state, trial.message) for trial in cell.trials] == [
        ("finished", "computed in 2 parts"),
        ("finished", ""),
    ]


def test_trials_have_their_attempts_and_those_of_an_earlier_version_their_last_stretch(written_study):
    attempts = {schema.TAG_ATTEMPTS: json.dumps([["n1", 5, 9], ["n2", 12, None]])}
    trials = [("new", {}, FINISHED | attempts, {}), ("old", {}, FINISHED, {schema.SECONDS: 0.001})]
    new, old = _write_study(written_study, "frogs", trials, {}).trials
    assert new.attempts == (Attempt("n1", 5, 9), Attempt("n2", 12, None))
    ((worker, start_ms, end_ms),) = [(each.worker, each.start_ms, each.end_ms) for each in old.attempts]
    assert (worker, end_ms - start_ms) == ("", 1)


def test_curves_come_with_the_end_of_a_trial_and_are_else_read_when_they_are_asked_for(written_study):
    """`one` runs, and has a part of its curve from an end before; `two` ended and has all; `three` is older."""
    began = {schema.TAG_ATTEMPTS: json.dumps([["n1", 5, None]]), schema.TAG_CURVE: "[[1, 0.25]]"}
    ended = {schema.TAG_CURVE: "[[1, 0.5], [2, 0.75]]", **FINISHED}
    trials = [("one", {}, began, {}), ("two", {}, ended, {}), ("three", {}, FINISHED, {})]
    _write_study(written_study, "geckos", trials, {})
    client = written_study.client
    experiment = client.get_experiment_by_name("geckos").experiment_id
    figures = [(2, 0.5, 80), (1, 0.25, 40)]
    for key in ("one", "two", "three"):
        (run,) = client.search_runs([experiment], f"tags.`{schema.TAG_KEY}` = '{key}'")
        metrics = [Metric(schema.VAL_SCORE, value, time_ms, step) for step, value, time_ms in figures]
        client.log_batch(run.info.run_id, metrics=metrics)
    without = load_study(written_study.tracking_uri, "geckos").cells[0].trials
    assert [trial.curve for trial in without] == [((1, 0.25),), ((1, 0.5), (2, 0.75)), ()]
    one, two, three = load_study(written_study.tracking_uri, "geckos", with_curves=True).cells[0].trials
    assert one.curve == three.curve == ((1, 0.25), (2, 0.5))
    assert two.curve == ((1, 0.5), (2, 0.75)), "it came with its end: MLflow is not asked"
    assert one.attempts == (Attempt("n1", 5, 80),)


def test_record_of_a_decile_as_a_study_writes_it_is_drawn_at_its_ranks():
    """Of the scores 5, 2, 1, 0 the second and third are chosen."""
    labels = [0, 0, 1, 1, 2, 2, 3, 3]
    table = table_of_contents([str(row) for row in range(8)], [b""] * 8, labels)
    units = ClassUnits(ImageSet("pool", tuple("abcd"), {"train": table}, {"train": "f"}), "classes")
    decile = Selection("uot", (3, 0), np.array([1.0, 5.0, 0.0, 2.0]), 1.0, True, 4)
    others = {"nearest": Selection("nearest", (0, 1), np.array([3.0, 2.0, 1.0, 0.0]), 1.0, True, 0)}
    written = selection_record(
        units, decile, cell=("t", find_method("uot")), others=others, expected=None, top_ks=(1, 2)
    )
    selection = from_json(SelectionRecord, json.loads(json.dumps(to_json(written))), "uot.json")
    assert selection == written
    assert (selection.names, selection.ranks, selection.num_selected) == (("d", "a"), (2, 3), 2)
    assert (selection.margins, selection.num_shared) == ({1: 1.0, 2: 1.0}, {"nearest": 1})
    assert "2 groups of rank 2 to 3, from d with 2 to a with 1; the next group is 1 lower." in ranked_similarity(
        selection
    )


def _artifacts(written_study) -> str:
    database = Path(written_study.tracking_uri.removeprefix("sqlite:///"))
    return (database.parent / "artifacts").as_uri()


def test_reading_prints_nothing(written_study, capfd):
    load_study(written_study.tracking_uri, "fauna")
    assert capfd.readouterr() == ("", "")


def test_a_study_without_its_trials_says_all_that_its_cells_do(written_study):
    uri, name = written_study.tracking_uri, "fauna"
    whole, without = load_study(uri, name), load_study(uri, name, with_trials=False)
    assert any(cell.trials for cell in whole.cells)
    assert without == replace(whole, cells=tuple(replace(cell, trials=()) for cell in whole.cells))
    assert score_table(without).to_text() == score_table(whole).to_text()


def test_a_finished_trial_has_the_metrics_that_its_run_has_beside_the_score(written_study):
    figures = {schema.VAL_SCORE: 0.5, "val/auroc": 0.75, schema.LOSS_TARGET: 1.5, schema.SECONDS: 3.0}
    trials = [("ended", {"lr": 0.1}, FINISHED, figures), ("begun", {"lr": 0.2}, {}, figures)]
    cell = _write_study(written_study, "swifts", trials, {})
    assert [dict(trial.further_scores) for trial in cell.trials] == [{"auroc": 0.75}, {}]
