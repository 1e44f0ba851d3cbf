from dataclasses import replace

from pretrieve_dashboards import missing_parts
from pretrieve_dashboards.failures import problems, remarks


def test_whole_study_misses_nothing(finished_study):
    assert missing_parts(finished_study) == ()
    assert problems(finished_study) == []


def test_unfinished_study_names_each_part_that_is_missing(unfinished_study):
    hostile = unfinished_study.targets[1].name
    assert missing_parts(unfinished_study)[1:] == (
        "birds · uot: 3 of 5 trials without a result (1 not begun, 1 running or interrupted, 1 failed), not tested yet",
        f"{hostile} · finetune: not tested yet",
        f"{hostile} · uot: 2 of 2 trials without a result (2 not begun), not tested yet",
    )
    assert [problem.trial.key for problem in problems(unfinished_study)] == ["d", "f"]
    assert remarks(unfinished_study) == []


def test_trial_that_finished_with_a_message_is_a_remark_and_no_problem(finished_study, make_trial):
    cell = finished_study.cells[0]
    trials = (make_trial("a", message="in 4 parts"), make_trial("b"))
    refits = (make_trial("r", kind="refit", message="in 2 parts"),)
    record = replace(finished_study, cells=(replace(cell, trials=trials, refits=refits),))
    assert [(remark.target, remark.method, remark.trial.key) for remark in remarks(record)] == [
        ("birds", "finetune", "a"),
        ("birds", "finetune", "r"),
    ]
    assert problems(record) == []
    assert missing_parts(record) == ()


def test_cell_whose_trials_all_diverged_has_nothing_to_choose_from(finished_study, make_trial):
    trials = tuple(make_trial(key, state="diverged") for key in "ab")
    cell = replace(
        finished_study.cells[0],
        trials=trials,
        best=None,
        best_val_score=None,
        refits=(),
        test_mean=None,
        test_ci95=None,
    )
    (part,) = missing_parts(replace(finished_study, cells=(cell,)))
    assert part == "birds · finetune: no trial with a score to choose from, not tested yet"


def test_refit_without_a_score_is_missing(finished_study, make_trial):
    cell = finished_study.cells[0]
    refits = (cell.refits[0], make_trial("r", kind="refit", state="failed"))
    record = replace(finished_study, cells=(replace(cell, refits=refits),))
    assert missing_parts(record) == ("birds · finetune: 1 of 2 refits without a test score",)
