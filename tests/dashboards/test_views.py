from dataclasses import replace

import pytest

from pretrieve_dashboards import wording
from pretrieve_dashboards.report import render_report
from pretrieve_dashboards.views._base import of_cell, of_target
from pretrieve_dashboards.views.grid import Grid
from pretrieve_dashboards.views.missing import missing_parts
from pretrieve_dashboards.views.parallel import parallel_coordinates
from pretrieve_dashboards.views.problems import problems, remarks
from pretrieve_dashboards.views.selections import Overlap, Selections, margins


def grid(record, cell):
    return Grid().table(of_cell(record, cell))


def texts(table):
    """The entries without their names of rows, with an empty text for no trial."""
    return {row[0].text: ["" if "no such trial" in cell.text else cell.text for cell in row[1:]] for row in table.rows}


def test_grid_has_rates_as_rows_and_shades_from_the_lowest_to_the_highest(finished_study):
    table = grid(finished_study, finished_study.cell("birds", "uot"))
    assert table.head == ("", "<span>wd 1e-4</span>")
    assert [(rate.text, entry.text, entry.shade_percent, entry.is_best) for rate, entry in table.rows] == [
        ("lr 0.1", "75.0", 100, True),
        ("lr 0.01", "50.0", 0, False),
    ]


def test_grid_shows_what_became_of_trials_without_a_score(unfinished_study):
    table = grid(unfinished_study, unfinished_study.cell("birds", "uot"))
    assert table.head[1:] == ("<span>λ 1</span>", "<span>λ 0.3</span>")
    assert texts(table) == {"lr 0.1": ["", "diverged"], "lr 0.01": ["", "failed"], "lr 0.001": ["50.0", "running"]}


def test_points_that_differ_only_in_the_number_of_groups_stand_apart(finished_study, make_trial):
    trials = tuple(
        make_trial(f"{lr}-{top_k}", lr=lr, top_k=top_k, score=score, source_weight=0.3)
        for lr, top_k, score in [(0.1, 50, 0.5), (0.1, 1000, 0.75), (0.01, 50, 0.25), (0.01, 1000, 0.3)]
    )
    cell = replace(finished_study.cell("birds", "uot"), trials=trials, best=trials[1].hyperparameters)
    table = grid(finished_study, cell)
    assert table.head[1:] == ("<span>K 1000</span>", "<span>K 50</span>")
    assert texts(table) == {"lr 0.1": ["75.0", "50.0"], "lr 0.01": ["30.0", "25.0"]}
    assert [entry.is_best for row in table.rows for entry in row[1:]] == [True, False, False, False]


def test_trial_without_a_number_of_groups_has_a_column_of_its_own(finished_study, make_trial):
    trials = (make_trial("a", top_k=50, score=0.5), make_trial("b", score=0.75))
    table = grid(finished_study, replace(finished_study.cell("birds", "uot"), trials=trials))
    assert table.head[1:] == ("<span>K 50</span>", "<span>K —</span>")
    assert texts(table) == {"lr 0.1": ["50.0", "75.0"]}


def test_a_trial_whose_point_is_not_recorded_yet_has_no_place(finished_study, make_trial):
    silent = replace(make_trial("b", state="running"), hyperparameters={})
    cell = replace(finished_study.cell("birds", "uot"), trials=(make_trial("a", lr=0.1, score=0.5), silent))
    assert list(texts(grid(finished_study, cell))) == ["lr 0.1"]
    assert len(parallel_coordinates(cell).lines) == 1


def test_grid_of_a_cell_that_has_not_begun_is_empty(unfinished_study):
    assert texts(grid(unfinished_study, unfinished_study.cells[3])) == {"no trial has begun": []}


def birds_of(record):
    return of_target(record, record.targets[0])


def test_selections_stand_side_by_side_with_what_they_share(finished_study):
    record = birds_of(finished_study)
    table = Selections().table(record)
    assert table.head == ("rank", "random", "uot")
    assert table.texts()[0] == ["1", "[red] kite", "$x$ owl $y$"]
    assert table.texts()[2] == ["3", "", "鳥"]
    assert [row[1:3] for row in Overlap().table(record).texts()] == [["2", "1"], ["1", "3"]]
    assert Selections().table(of_target(finished_study, finished_study.targets[1])).rows == []


def test_pictures_stand_beside_the_names_of_their_groups(finished_study, make_selection):
    names = ("kite", "owl", "tern")
    pictured = make_selection("birds", "uot", (4, 2, 1), names, (0.5, 0.4, 0.3), thumbnails=("AAAA", "", "BBBB"))
    without = make_selection("birds", "nearest", (4, 2), names[:2], (0.5, 0.4))
    record = replace(finished_study, selections=(pictured, without))
    assert [["thumbnail" in text for text in row[1:]] for row in Selections().table(birds_of(record)).texts()] == [
        [True, False],
        [False, False],
        [True, False],
    ]
    page = render_report(record)
    assert page.count('class="thumbnail"') == 2
    assert 'alt="Images of tern" src="data:image/jpeg;base64,BBBB"' in page


def test_groups_of_a_decile_are_counted_from_its_first_rank(finished_study, make_selection):
    names = ("kite", "owl")
    decile = [
        make_selection("birds", method, (4, 2), names, (0.5, 0.4), ranks=(201, 202)) for method in ("uot", "nearest")
    ]
    record = birds_of(replace(finished_study, selections=tuple(decile)))
    table = Selections().table(record)
    assert (table.head[0], [row[0] for row in table.texts()]) == ("rank", ["201", "202"])


def test_groups_whose_ranks_differ_by_method_are_counted_by_place(finished_study, make_selection):
    names = ("kite", "owl")
    capped = make_selection("birds", "uot", (4, 2), names, (0.5, 0.4), ranks=(1, 7))
    whole = make_selection("birds", "nearest", (4, 2), names, (0.5, 0.4))
    record = birds_of(replace(finished_study, selections=(capped, whole)))
    table = Selections().table(record)
    assert (table.head[0], [row[0] for row in table.texts()]) == ("place", ["1", "2"])


def test_overlap_counts_also_what_a_record_does_not_list(finished_study, make_selection):
    uot = make_selection("birds", "uot", (4,), ("kite",), (0.5,), num_selected=900, num_shared={"nearest": 300})
    nearest = make_selection("birds", "nearest", (4,), ("kite",), (0.5,), num_selected=700, num_shared={"uot": 300})
    record = birds_of(replace(finished_study, selections=(uot, nearest)))
    assert [row[1:3] for row in Overlap().table(record).texts()] == [["900", "300"], ["300", "700"]]


def test_margin_is_given_at_each_number_of_groups(make_selection):
    def shown(margin, **others):
        return margins(make_selection("birds", "uot", (4, 2), ("kite", "owl"), (0.5, 0.4), margin=margin, **others))

    assert shown(0.25, margins={2: 0.25}) == ("0.25",)
    assert shown(None, margins={1: 0.1, 2: None}) == ("K 1: 0.1", "K 2: all chosen")
    assert shown(None) == ("all chosen",)
    assert shown(None, ranks=(9, 10)) == ("none follows",)


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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (3599.6, "1 h 00 min"), (7502, "2 h 05 min")],
)
def test_duration_never_says_60(seconds, text):
    assert wording.duration(seconds) == text


def test_hyperparameters_keep_unknown_ones_and_leave_out_what_is_asked():
    assert wording.hyperparameters({"momentum": 0.9, "lr": 1e-5, "weight_decay": 0.00025}) == (
        "lr 1e-5, wd 2.5e-4, momentum 0.9"
    )
    assert wording.hyperparameters(None) == "—"
