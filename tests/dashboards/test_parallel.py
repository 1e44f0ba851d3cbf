from dataclasses import replace
from xml.etree import ElementTree

from pretrieve_dashboards.views.parallel import WITHOUT_SCORE, parallel_coordinates, parallel_figure

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_values_stand_evenly_apart_and_scores_from_the_lowest_to_the_highest(finished_study, make_trial):
    """Three rates and two weights: 0.001 below 0.01 below 0.1, λ 0.3 below 1; 25, 50 and 75 % are 0, 0.5 and 1."""
    trials = (
        make_trial("a", lr=0.001, source_weight=0.3, score=0.25),
        make_trial("b", lr=0.1, source_weight=1.0, score=0.75),
        make_trial("c", lr=0.01, source_weight=1.0, score=0.5),
    )
    cell = replace(finished_study.cells[1], trials=trials, best=trials[1].hyperparameters, best_val_score=0.75)
    view = parallel_coordinates(cell)
    assert [(axis.name, axis.ticks) for axis in view.axes] == [
        ("lr", ((0.0, "0.001"), (0.5, "0.01"), (1.0, "0.1"))),
        ("λ", ((0.0, "0.3"), (1.0, "1"))),
        ("validation %", ((0.0, "25.0"), (0.5, "50.0"), (1.0, "75.0"))),
    ]
    placed = {line.run_id: (tuple(round(place, 9) for _, place in line.points), line.is_best) for line in view.lines}
    assert placed == {
        "run-a": ((0.0, 0.0, 0.0), False),
        "run-c": ((0.5, 1.0, 0.5), False),
        "run-b": ((1.0, 1.0, 1.0), True),
    }
    assert view.lines[-1].is_best
    assert "scores from 25.0 to 75.0 %; chosen: lr 0.1, wd 1e-4, λ 1, head ×10 with 75.0 %" in view.alternative
    svg = parallel_figure(cell)
    assert {"lr", "λ", "0.01", "50.0", "chosen", "finished"} <= set(texts(svg))
    assert view.alternative in ElementTree.fromstring(svg).get("aria-label")


def test_many_values_over_a_wide_range_stand_on_a_logarithmic_scale(finished_study, make_trial):
    """Of 1e-4 … 1 the geometric middle is 0.01, where a rate of 0.01 stands."""
    rates = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
    trials = tuple(make_trial(f"t{rate}", lr=rate) for rate in rates)
    view = parallel_coordinates(replace(finished_study.cells[0], trials=trials))
    assert view.axes[0].ticks == ((0.0, "0.0001"), (0.5, "0.01"), (1.0, "1"))
    assert round(view.lines[4].points[0][1], 9) == 0.5


def test_unfinished_cell_shows_what_became_of_each_trial_below_the_scores(unfinished_study):
    cell = unfinished_study.cell("birds", "uot")
    view = parallel_coordinates(cell)
    last = {line.state: line.points[-1][1] for line in view.lines}
    assert last == {"diverged": WITHOUT_SCORE, "failed": WITHOUT_SCORE, "running": WITHOUT_SCORE, "finished": 0.5}
    assert "4 trials of 5: 1 diverged, 1 failed, 1 running, 1 finished" in view.alternative
    svg = parallel_figure(cell)
    assert {"diverged", "failed", "running", "no score"} <= set(texts(svg))


def test_cell_without_trials_or_without_a_choice_to_make_has_no_figure(unfinished_study, finished_study, make_trial):
    nothing = unfinished_study.cells[3]
    assert parallel_coordinates(nothing) == ((), (), "No trial has begun.")
    one = replace(finished_study.cells[0], trials=(make_trial("a"),))
    assert (parallel_figure(nothing), parallel_figure(one)) == ("", "")
    assert "nothing varies" in parallel_coordinates(one).alternative


def test_trial_in_a_state_of_another_version_is_drawn(finished_study, make_trial):
    trials = (make_trial("a"), replace(make_trial("b", lr=0.01), state="stopped", score=0.25))
    svg = parallel_figure(replace(finished_study.cells[0], trials=trials, best=None))
    assert "stopped" in texts(svg)


def test_a_trial_whose_point_is_not_recorded_yet_has_no_line(finished_study, make_trial):
    silent = replace(make_trial("b", state="running"), hyperparameters={})
    cell = replace(finished_study.cell("birds", "uot"), trials=(make_trial("a", lr=0.1, score=0.5), silent))
    assert len(parallel_coordinates(cell).lines) == 1
