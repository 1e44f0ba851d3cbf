from dataclasses import replace

import pytest

from pretrieve.records import StudyRecord
from pretrieve_dashboards import paired_differences
from pretrieve_dashboards.errors import DashboardError


def with_refits(record: StudyRecord, make_trial, scores):
    """Give the cells these refits: (target number, method) → {seed: score}."""
    names = [target.name for target in record.targets]
    wanted = {(names[number], method): by_seed for (number, method), by_seed in scores.items()}
    cells = tuple(
        replace(
            cell,
            refits=tuple(
                make_trial(f"{seed}", kind="refit", score=score, seed=seed)
                for seed, score in wanted[cell.target, cell.method].items()
            ),
        )
        for cell in record.cells
    )
    return replace(record, cells=cells)


def test_refits_of_the_same_seed_are_compared(finished_study, make_trial):
    """0.1, 0.3 and 0.2 more: mean 0.2, s = 0.1, and t of two degrees of freedom is 4.3027."""
    scores = {
        (0, "finetune"): {1: 0.5, 2: 0.6, 3: 0.5, 9: 0.0},
        (0, "uot"): {2: 0.9, 1: 0.6, 3: 0.7},
        (1, "finetune"): {1: 0.4, 2: 0.4, 3: 0.4},
        (1, "uot"): {1: 0.4, 2: 0.4, 3: 0.4},
    }
    first, second, average = paired_differences(with_refits(finished_study, make_trial, scores))
    assert (first.target, first.method, first.num_seeds) == ("birds", "uot", 3)
    assert first.mean == pytest.approx(0.2)
    assert first.ci95 == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    assert sorted(first.values) == pytest.approx([0.1, 0.2, 0.3])
    assert (second.mean, second.ci95) == pytest.approx((0.0, 0.0))
    assert (average.target, average.num_seeds) == ("average", 3)
    assert average.mean == pytest.approx(0.1)
    assert average.ci95 == pytest.approx(4.3027 * 0.05 / 3**0.5, rel=1e-4)


def test_a_target_without_a_shared_seed_has_no_difference_and_its_method_no_average(finished_study, make_trial):
    scores = {
        (0, "finetune"): {1: 0.5},
        (0, "uot"): {1: 0.6},
        (1, "finetune"): {1: 0.4},
        (1, "uot"): {2: 0.4},
    }
    (only,) = paired_differences(with_refits(finished_study, make_trial, scores))
    assert (only.target, only.num_seeds) == ("birds", 1)
    assert only.ci95 != only.ci95


def test_average_is_over_the_seeds_that_every_target_has(finished_study, make_trial):
    """Seeds 2 and 3 are shared by both targets: (0.1 + 0.3) / 2 and (0.3 + 0.1) / 2."""
    scores = {
        (0, "finetune"): {1: 0.1, 2: 0.5, 3: 0.5},
        (0, "uot"): {1: 0.9, 2: 0.6, 3: 0.8},
        (1, "finetune"): {2: 0.4, 3: 0.4, 4: 0.9},
        (1, "uot"): {2: 0.7, 3: 0.5, 4: 0.1},
    }
    first, second, average = paired_differences(with_refits(finished_study, make_trial, scores))
    assert (first.num_seeds, second.num_seeds, average.num_seeds) == (3, 3, 2)
    assert average.mean == pytest.approx(0.2)
    assert average.ci95 != average.ci95, "two seeds have no interval"
    assert average.values == pytest.approx((0.2, 0.2))


def test_refit_without_a_score_has_no_pair_on_either_side(finished_study, make_trial):
    def refits(diverged_seed, score):
        seeds = {seed: "diverged" if seed == diverged_seed else "finished" for seed in (1, 2, 3)}
        return tuple(
            make_trial(f"{seed}", kind="refit", state=state, score=score, seed=seed) for seed, state in seeds.items()
        )

    baseline, method = finished_study.cells[:2]
    cells = (replace(baseline, refits=refits(1, 0.5)), replace(method, refits=refits(3, 0.75)))
    record = replace(finished_study, targets=finished_study.targets[:1], cells=cells)
    difference, average = paired_differences(record)
    assert (difference.num_seeds, difference.mean) == (1, 0.25)
    assert (average.num_seeds, average.mean) == (1, 0.25)


def test_a_baseline_that_the_study_lacks_is_refused(finished_study):
    with pytest.raises(DashboardError, match="one of finetune, uot, but is 'random'"):
        paired_differences(finished_study, "random")
