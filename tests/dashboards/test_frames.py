import math
from dataclasses import replace

import pytest
from verdicts_of_studies import with_verdict

from pretrieve_dashboards import DashboardError, best_frame, compare_frame, notebook_html


def test_best_has_a_row_a_method_best_on_validation_first_with_its_interval(finished_study):
    first, second, *others = finished_study.cells
    record = replace(finished_study, cells=(replace(first, best_val_score=0.5), second, *others))
    frame = best_frame(record, "birds")
    assert list(frame.index) == ["uot", "finetune"]
    row = frame.loc["uot"]
    assert (row["val_score"], row["test_mean"], row["test_ci95"]) == (0.75, 0.9, 0.0125)
    assert (row["test_low"], row["test_high"]) == pytest.approx((0.8875, 0.9125))
    assert (row["lr"], row["source_weight"], row["num_refits"]) == (0.1, 0.3, 3)
    assert row["run_id"] == "cell-birds-uot"
    assert frame.isna().loc["finetune", "source_weight"]


def test_best_of_an_unfinished_study_has_nan_where_nothing_is_known(unfinished_study):
    frame = best_frame(unfinished_study, "birds")
    assert list(frame.index) == ["finetune", "uot"]
    assert frame.loc["uot", ["val_score", "test_mean", "test_low", "lr"]].isna().all()
    assert frame["num_refits"].tolist() == [3, 0]
    with pytest.raises(DashboardError, match=r"one of birds, .*, but is 'brids'"):
        best_frame(unfinished_study, "brids")


def test_compare_has_a_row_a_target_with_bounds_and_the_average(finished_study):
    """All refits have 0.9 against 0.7 on birds and 0.6 against 0.7 on the other: + 0.2, − 0.1, on average + 0.05."""
    frame = compare_frame(finished_study, "uot", "finetune")
    assert list(frame.index) == ["birds", finished_study.targets[1].name, "average"]
    assert frame["difference"].tolist() == pytest.approx([0.2, -0.1, 0.05])
    assert frame["num_seeds"].tolist() == [3, 1, 1]
    assert frame["low"].tolist() == pytest.approx([0.2, math.nan, math.nan], nan_ok=True)
    mirrored = compare_frame(finished_study, "finetune", "uot")
    assert mirrored["difference"].tolist() == pytest.approx([-0.2, 0.1, -0.05])


def test_compare_of_an_unfinished_study_is_empty_and_keeps_its_columns(unfinished_study):
    frame = compare_frame(unfinished_study, "uot", "finetune")
    assert frame.empty
    assert list(frame.columns) == ["difference", "ci95", "low", "high", "num_seeds"]
    with pytest.raises(DashboardError, match="one of finetune, uot, but is 'random'"):
        compare_frame(unfinished_study, "random", "finetune")


@pytest.mark.shows("scores")
def test_notebook_shows_the_table_of_a_record_escaped(finished_study, unfinished_study):
    html = notebook_html(with_verdict(finished_study, [("uot", "finetune", "birds", "better", False)]))
    assert "<td><strong>90.0 ± 1.2</strong></td>" in html
    assert "<td>70.0 ± 5.0</td>" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "unfinished, 7 of 11 trials have ended" in notebook_html(unfinished_study)
    assert "<td>—</td>" in notebook_html(unfinished_study)
