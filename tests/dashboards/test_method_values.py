from dataclasses import replace

import pytest

from pretrieve_dashboards.paper_comparison import (
    AVERAGE,
    Value,
    gap_values,
    method_values,
    published_table,
    row_name,
    score_comparison,
    series_values,
    targets_of,
)

HOSTILE = "<script>alert(1)</script>"


def test_scores_are_by_method_and_target_with_their_run_and_the_average_without_interval(finished_study):
    values = method_values(finished_study)
    assert values["uot", "birds"] == Value(0.9, 0.0125, ("run-birds-uot-r11", "run-birds-uot-r12", "run-birds-uot-r13"))
    assert values["finetune", HOSTILE] == Value(0.7, None, tuple(f"run-{HOSTILE}-finetune-r{seed}" for seed in (11,)))
    assert values["uot", AVERAGE] == Value(pytest.approx(0.75))
    assert len(values) == 6


def test_rows_are_named_as_asked(finished_study):
    assert ("uot, with labels", "birds") in method_values(finished_study, row_of=lambda name: f"{name}, with labels")


def test_an_unfinished_study_gives_what_is_tested_and_no_average_of_a_part(unfinished_study):
    assert set(method_values(unfinished_study)) == {("finetune", "birds")}


def test_targets_are_columns_in_the_studys_order_and_the_average_is_last(finished_study):
    published = published_table("Table 9", ("cub",), {"uot": (77.21,)})
    compared = score_comparison("score", "method", method_values(finished_study), published, rows=("uot", "co_tuning"))
    assert compared.columns == ("birds", HOSTILE, AVERAGE)
    assert compared.cell_text("co_tuning", "birds") == "—"
    assert compared.stands_apart


def test_one_target_has_no_average(finished_study):
    only = {place: value for place, value in method_values(finished_study).items() if place[1] == "birds"}
    published = published_table("Table 9", ("birds",), {"uot": (77.21,)})
    assert score_comparison("score", "method", only, published, rows=("uot",)).columns == ("birds",)


def test_a_series_has_a_column_a_point_and_a_row_a_target_and_method(finished_study, unfinished_study):
    values = series_values({"20%": unfinished_study, "100%": finished_study})
    assert values[row_name("birds", "uot"), "100%"].mean == 0.9
    assert (row_name("birds", "uot"), "20%") not in values
    assert values[row_name("birds", "finetune"), "20%"].mean == 0.7
    assert len(values) == 5
    assert targets_of({"20%": unfinished_study, "100%": finished_study}) == ("birds", HOSTILE)


def test_the_gap_is_paired_by_seed_and_has_no_row_for_the_average(finished_study):
    gaps = gap_values({"100%": finished_study}, "uot", "finetune")
    assert set(gaps) == {("birds · uot − finetune", "100%"), (f"{HOSTILE} · uot − finetune", "100%")}
    gap = gaps["birds · uot − finetune", "100%"]
    assert (gap.mean, gap.ci95) == (pytest.approx(0.2), pytest.approx(0.0, abs=1e-12))


def test_a_gap_of_one_seed_has_no_interval_and_none_has_no_value(finished_study, unfinished_study):
    cells = tuple(replace(cell, refits=cell.refits[:1]) for cell in finished_study.cells)
    gaps = gap_values({"x": replace(finished_study, cells=cells)}, "uot", "finetune")
    assert gaps["birds · uot − finetune", "x"].ci95 is None
    assert gap_values({"x": unfinished_study}, "uot", "finetune") == {}
