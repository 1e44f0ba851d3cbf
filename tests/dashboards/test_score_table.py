import csv
import io
from dataclasses import replace

import pytest
from verdicts_of_studies import with_verdict

from pretrieve_dashboards import score_table

HOSTILE = "<script>alert(1)</script>"


def test_average_is_over_all_targets(finished_study):
    table = score_table(finished_study)
    assert table.averages == {"finetune": pytest.approx(0.7), "uot": pytest.approx(0.75)}


def test_method_that_lacks_a_target_has_no_average(unfinished_study):
    table = score_table(unfinished_study)
    assert table.averages == {}


def test_what_the_verdict_calls_better_is_marked_and_no_largest_mean(finished_study):
    assert score_table(finished_study).better == frozenset()
    contrasts = [
        ("uot", "finetune", None, "better, by less than 1.0 points", False),
        ("uot", "random", None, "better", True),
        ("uot", "finetune", "birds", "worse", False),
        ("uot", "finetune", HOSTILE, "undecided", False),
    ]
    table = score_table(with_verdict(finished_study, contrasts))
    assert table.better == {("average", "uot"), ("birds", "finetune")}
    marked = [[entry.is_best for entry in row[1:]] for row in table.shown().rows]
    assert marked == [[True, False, False], [False, False, True]]


def test_csv_has_a_line_a_cell_with_all_digits(finished_study):
    lines = score_table(finished_study).to_csv().splitlines()
    assert lines[0].startswith("target,method,metric,num_refits,test_mean,test_ci95,best_val_score,lr,")
    assert lines[2] == "birds,uot,top1,3,0.9,0.0125,0.75,0.1,0.0001,0.3,10.0,,2,2,0,0,0,5.5"
    assert len(lines) == 5


def test_csv_has_the_number_of_selected_groups_where_the_grid_varies_it(finished_study):
    cell = finished_study.cell("birds", "uot")
    chosen = replace(cell, best={**cell.best, "top_k": 100})
    lines = score_table(replace(finished_study, cells=(chosen,))).to_csv().splitlines()
    assert lines[0].endswith(
        ",source_weight,head_lr_ratio,top_k,num_trials,num_finished,num_diverged,num_stopped,num_failed,trial_seconds"
    )
    assert lines[1].endswith(",0.3,10.0,100,2,2,0,0,0,5.5")


def test_csv_leaves_what_is_unknown_empty_and_counts_what_went_wrong(unfinished_study):
    rows = list(csv.DictReader(io.StringIO(score_table(unfinished_study).to_csv())))
    troubled = rows[1]
    assert (troubled["test_mean"], troubled["lr"], troubled["num_refits"]) == ("", "", "0")
    counts = [troubled[f"num_{name}"] for name in ("trials", "finished", "diverged", "failed")]
    assert counts == ["5", "1", "1", "1"]
    assert rows[0]["source_weight"] == ""
    assert rows[3]["trial_seconds"] == "0.0"


def test_frame_has_methods_as_rows_and_numbers_in_two_levels(finished_study, unfinished_study):
    frame = score_table(finished_study).to_frame()
    assert list(frame.index) == ["finetune", "uot"]
    assert frame.loc["uot", ("birds", "ci95")] == 0.0125
    assert frame["birds", "mean"].idxmax() == "uot"
    assert frame.loc["uot", ("average", "mean")] == pytest.approx(0.75)
    assert score_table(unfinished_study).to_frame().isna().loc["uot"].all()


def test_text_has_percent_with_interval_where_it_is_known(finished_study):
    lines = score_table(finished_study).to_text(120).splitlines()
    assert lines[0].split() == ["method", "birds", HOSTILE, "average"]
    assert lines[2].split() == ["finetune", "70.0", "±", "5.0", "70.0", "70.0"]
    assert lines[3].split() == ["uot", "90.0", "±", "1.2", "60.0", "±", "10.0", "75.0"]


def test_absent_scores_are_dashes(unfinished_study):
    lines = score_table(unfinished_study).to_text().splitlines()
    assert lines[3].split() == ["uot", "—", "—", "—"]


def test_narrow_text_has_targets_as_rows(finished_study):
    lines = score_table(finished_study).to_text(52).splitlines()
    assert lines[0].split() == ["target", "finetune", "uot"]
    assert lines[2].split() == ["birds", "70.0", "±", "5.0", "90.0", "±", "1.2"]


def test_very_narrow_text_comes_in_parts_that_fit(finished_study):
    text = score_table(finished_study).to_text(38)
    assert max(map(len, text.splitlines())) <= 38
    assert [line.split()[1] for line in text.splitlines() if line.startswith("target")] == ["finetune", "uot"]


def test_table_of_one_target_has_no_average(finished_study):
    one = replace(finished_study, targets=finished_study.targets[:1])
    assert "average" not in score_table(one).to_text()
