from dataclasses import replace
from xml.etree import ElementTree

from pretrieve.records import Attempt
from pretrieve_dashboards.views.utilisation import Span, Utilisation, utilisation_figure, worker_times

SVG = "{http://www.w3.org/2000/svg}"
START = 1_700_000_000_000


def at(trial, *attempts):
    return replace(
        trial, attempts=tuple(Attempt(worker, START + start, end and START + end) for worker, start, end in attempts)
    )


def study_of(finished_study, trials, refits=()):
    cell = replace(finished_study.cells[0], trials=tuple(trials), refits=tuple(refits))
    return replace(finished_study, cells=(cell,))


def test_each_worker_has_a_lane_and_its_share_of_the_time_that_the_study_ran(finished_study, make_trial):
    """n1 works 0-10 s and 20-30 s, n2 0-5 s; nobody 10-20 s. Active 20 s: n1 used 100 %, n2 25 %, both 62.5 %."""
    record = study_of(
        finished_study,
        [at(make_trial("a"), ("n1", 0, 10_000)), at(make_trial("b"), ("n2", 0, 5_000))],
        [at(make_trial("r", kind="refit"), ("n1", 20_000, 30_000))],
    )
    view = worker_times(record)
    assert [(lane.worker, lane.spans) for lane in view.lanes] == [
        ("n1", (Span(0, 10_000, "trial"), Span(20_000, 30_000, "refit"))),
        ("n2", (Span(0, 5_000, "trial"),)),
    ]
    assert (view.active_ms, view.length_ms) == (20_000, 30_000)
    assert Utilisation().table(record).texts() == [
        ["n1", "1", "2", "20.0 s", "0.0 s", "30.0 s", "100 %"],
        ["n2", "1", "1", "5.0 s", "0.0 s", "5.0 s", "25 %"],
        ["all", "2", "3", "25.0 s", "0.0 s", "30.0 s", "62 %"],
    ]
    root = ElementTree.fromstring(utilisation_figure(view))
    words = {"".join(node.itertext()) for node in root.iter(f"{SVG}text")}
    assert {"n1", "n2", "trial", "refit", "30 s"} <= words
    assert "n1: 2 attempts, busy 20.0 s; n2: 1 attempt, busy 5.0 s; 30.0 s from" in root.get("aria-label")


def test_trials_side_by_side_on_one_worker_have_a_lane_each(finished_study, make_trial):
    trials = [
        at(make_trial("a"), ("gpu", 0, 10)),
        at(make_trial("b"), ("gpu", 5, 15)),
        at(make_trial("c"), ("gpu", 10, 20)),
    ]
    lanes = worker_times(study_of(finished_study, trials)).lanes
    assert [[(span.start_ms, span.end_ms) for span in lane.spans] for lane in lanes] == [[(0, 10), (10, 20)], [(5, 15)]]


def test_trial_that_went_on_elsewhere_stands_on_both_workers(finished_study, make_trial):
    moved = at(make_trial("a"), ("n1", 0, 4_000), ("n2", 6_000, 9_000))
    lanes = worker_times(study_of(finished_study, [moved])).lanes
    assert [(lane.worker, lane.busy_ms) for lane in lanes] == [("n1", 4_000), ("n2", 3_000)]


def test_unfinished_study_shows_lost_work_and_counts_what_has_no_times(unfinished_study):
    cell = unfinished_study.cell("birds", "uot")
    diverged, failed, running, finished = cell.trials
    trials = (
        at(diverged, ("n1", 0, 100)),
        at(failed, ("n1", 100, 300)),
        at(running, ("n2", 50, None)),
        at(finished, ("", 0, 50)),
    )
    view = worker_times(replace(unfinished_study, cells=(replace(cell, trials=trials), unfinished_study.cells[0])))
    kinds = {lane.worker: [span.kind for span in lane.spans] for lane in view.lanes}
    assert kinds == {"n1": ["lost", "lost"], "n2": ["trial"], "not recorded": ["trial"]}
    assert view.num_untimed == 5
    assert "diverged or failed" in utilisation_figure(view)


def test_study_before_its_first_trial_has_no_figure(unfinished_study):
    record = replace(unfinished_study, cells=unfinished_study.cells[3:])
    view = worker_times(record)
    assert (view.lanes, Utilisation().applies(record)) == ([], False)
    assert view.share_used(()) is None


def test_thousands_of_short_trials_stay_a_small_figure(finished_study, make_trial):
    trials = [at(make_trial(f"t{number}"), ("n1", number * 100, number * 100 + 90)) for number in range(4_000)]
    assert len(utilisation_figure(worker_times(study_of(finished_study, trials)))) < 60_000
