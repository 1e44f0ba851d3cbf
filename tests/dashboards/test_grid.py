from dataclasses import replace

from pretrieve_dashboards.views._base import of_cell
from pretrieve_dashboards.views.grid import Grid


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


def test_grid_of_a_cell_that_has_not_begun_is_empty(unfinished_study):
    assert texts(grid(unfinished_study, unfinished_study.cells[3])) == {"no trial has begun": []}
