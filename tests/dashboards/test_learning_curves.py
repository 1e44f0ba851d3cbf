from dataclasses import replace
from xml.etree import ElementTree

from pretrieve.records import Attempt
from pretrieve_dashboards.views._base import of_cell
from pretrieve_dashboards.views._trial_lines import MAX_CURVES, trials_to_follow
from pretrieve_dashboards.views.learning_curves import MAX_POINTS, Curves, learning_curves

SVG = "{http://www.w3.org/2000/svg}"


def figure_of(study, cell):
    (figure,) = Curves().figures(of_cell(study, cell))
    return ElementTree.fromstring(figure.svg)


def cell_of(study, trials, best=None):
    return replace(study.cells[0], trials=tuple(trials), best=best, num_planned=6)


def test_chosen_stopped_and_diverged_trials_are_told_apart(finished_study, make_trial):
    best = replace(make_trial("a", score=0.75), curve=((1, 0.25), (2, 0.5), (3, 0.75)))
    stopped = replace(make_trial("b", lr=0.01), state="stopped", score=None, curve=((1, 0.125),))
    diverged = replace(make_trial("c", lr=1.0, state="diverged"), curve=((1, 0.2), (2, 0.1)))
    cell = cell_of(finished_study, (best, stopped, diverged), best.hyperparameters)
    curves = learning_curves(cell)
    assert {line.run_id: (line.state, line.points[-1], line.is_best) for line in curves.lines} == {
        "run-a": ("finished", (3, 75.0), True),
        "run-b": ("stopped", (1, 12.5), False),
        "run-c": ("diverged", (2, 10.0), False),
    }
    assert curves.alternative == (
        "3 trials over 3 epochs: 1 finished, 1 stopped, 1 diverged; stopped after epoch 1 at 12.5 %: "
        "lr 0.01, wd 1e-4, head ×10; diverged after epoch 2 at 10.0 %: lr 1, wd 1e-4, head ×10; "
        "the chosen one goes from 25.0 to 75.0 %."
    )
    root = figure_of(finished_study, cell)
    words = {"".join(node.itertext()) for node in root.iter(f"{SVG}text")}
    assert {"chosen", "stopped", "diverged", "1", "3"} <= words
    dashes = {line.get("stroke-dasharray") for line in root.iter(f"{SVG}polyline")}
    assert len(dashes - {None}) == 1  # the diverged one's; those that end alone differ in their ends


def test_points_lie_where_their_epoch_and_score_are(finished_study, make_trial):
    """Epoch 2 of 1 … 3 lies half way between the ends, as does the score half way between the others."""
    trial = replace(make_trial("a"), curve=((1, 0.25), (2, 0.5), (3, 0.75)))
    root = figure_of(finished_study, cell_of(finished_study, (trial,)))
    lines = [line.get("points").split() for line in root.iter(f"{SVG}polyline")]
    (first, middle, last) = next([tuple(map(float, p.split(","))) for p in line] for line in lines if len(line) == 3)
    assert first[1] > middle[1] > last[1]
    assert abs(middle[0] - (first[0] + last[0]) / 2) < 0.11
    assert abs(middle[1] - (first[1] + last[1]) / 2) < 0.11


def test_unfinished_cell_shows_the_curves_it_has_and_counts_the_others(unfinished_study):
    cell = unfinished_study.cell("birds", "uot")
    running = replace(cell.trials[2], curve=((1, 0.3), (2, 0.4)), attempts=(Attempt("", 5, None),))
    diverged = replace(cell.trials[0], curve=((1, 0.3),))
    begun = replace(cell, trials=(diverged, cell.trials[1], running, cell.trials[3]))
    view = learning_curves(begun)
    assert [line.state for line in view.lines] == ["diverged", "running"]
    assert view.num_without == 2
    assert "1 diverged, 1 running; diverged after epoch 1" in view.alternative
    (figure,) = Curves().figures(of_cell(unfinished_study, begun))
    assert "running" in figure.svg
    assert figure.caption == "Learning curves; 2 of the trials are not drawn."


def test_cell_in_which_no_epoch_has_ended_has_no_figure(unfinished_study):
    cell = unfinished_study.cells[3]
    assert learning_curves(cell).alternative == "No trial has ended an epoch."
    assert Curves().figures(of_cell(unfinished_study, cell)) == ()


def test_long_curves_are_thinned_and_keep_their_ends(finished_study, make_trial):
    long = replace(make_trial("a"), curve=tuple((epoch, epoch / 1000) for epoch in range(1, 1001)))
    (curve,) = learning_curves(cell_of(finished_study, (long,))).lines
    assert len(curve.points) == MAX_POINTS
    assert (curve.points[0], curve.points[-1]) == ((1, 0.1), (1000, 100.0))


def test_of_very_many_trials_the_best_and_what_went_otherwise_are_followed(finished_study, make_trial):
    trials = [make_trial(f"t{number}", score=number / 1000) for number in range(500)]
    trials[3] = make_trial("odd", state="diverged")
    followed = trials_to_follow(cell_of(finished_study, trials))
    assert len(followed) == MAX_CURVES
    assert {"odd", "t499", "t471"} <= {trial.key for trial in followed}
    assert "t470" not in {trial.key for trial in followed}
