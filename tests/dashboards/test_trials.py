from dataclasses import replace

from pretrieve.records import Attempt
from pretrieve_dashboards.views._base import of_cell
from pretrieve_dashboards.views.trials import Refits, Trials


def test_trials_are_listed_best_first_with_where_they_ran_and_their_run(finished_study, make_trial):
    best = replace(make_trial("b", score=0.75, seconds=75.0), attempts=(Attempt("n1 · GPU 0", 1, 2),))
    moved = replace(make_trial("a", lr=0.01, score=0.5), attempts=(Attempt("n1", 1, 2), Attempt("n2", 3, 4)))
    cell = replace(finished_study.cells[0], trials=(moved, best), best=best.hyperparameters)
    table = Trials().table(of_cell(finished_study, cell))
    assert table.head == ("configuration", "state", "validation", "time", "worker", "run")
    assert table.texts() == [
        ["lr 0.1, wd 1e-4, head ×10", "finished", "75.0", "1 min 15 s", "n1 · GPU 0", "run-b"],
        ["lr 0.01, wd 1e-4, head ×10", "finished", "50.0", "2.0 s", "n1, n2", "run-a"],
    ]
    assert table.row_runs == ["run-b", "run-a"]
    assert [row[2].is_best for row in table.rows] == [True, False]


def test_unfinished_cell_lists_what_became_of_its_trials_below_those_with_a_score(unfinished_study):
    cell = unfinished_study.cell("birds", "uot")
    stopped = replace(
        cell.trials[0], key="s", state="stopped", stopped_epoch=3, stopped_score=0.125, curve=((3, 0.125),)
    )
    table = Trials().table(of_cell(unfinished_study, replace(cell, trials=(*cell.trials, stopped))))
    assert [row[1:4] for row in table.texts()] == [
        ["finished", "50.0", "—"],
        ["diverged", "—", "—"],
        ["failed", "—", "—"],
        ["running", "—", "—"],
        ["stopped after 3 epochs at 12.5", "—", "3"],
    ]
    assert "5 of 5 trials begun" in table.caption
    assert Trials().table(of_cell(unfinished_study, unfinished_study.cells[3])).rows == []


def test_what_scored_lowest_is_left_out_and_counted(finished_study, make_trial):
    trials = tuple(make_trial(f"t{number}", score=number / 10) for number in range(5))
    cell = replace(finished_study.cells[0], trials=trials)
    table = Trials().table(of_cell(finished_study, cell)).first(2)
    assert ([row[2] for row in table.texts()], table.num_left_out) == (["40.0", "30.0"], 3)


def test_refits_are_listed_with_those_that_had_the_leaks(finished_study, make_trial):
    cell = finished_study.cell("birds", "uot")
    leaky = replace(cell, refits_with_leaks=(make_trial("l", kind="refit", seed=11, score=0.95),))
    assert [row[:3] for row in Refits().table(of_cell(finished_study, leaky)).texts()] == [
        ["seed 11", "90.0", "finished"],
        ["seed 12", "90.0", "finished"],
        ["seed 13", "90.0", "finished"],
        ["seed 11, with leaks", "95.0", "finished"],
    ]
