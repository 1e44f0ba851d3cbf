"""What each experiment makes of results with a known answer, of unfinished ones, and of none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pretrieve.paper.catalogue import EXPERIMENTS
from pretrieve.paper.experiment import Results
from pretrieve_dashboards.wording import AVERAGE

NOTHING = Results()


def find(name: str, results: Results):  # type: ignore[no-untyped-def]
    return EXPERIMENTS[name].find(results)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_without_results_shows_the_paper_and_nothing_of_ours(name: str) -> None:
    found = find(name, NOTHING)
    assert found.comparisons
    assert all(not comparison.values for comparison in found.comparisons)
    assert any(comparison.published for comparison in found.comparisons)


def test_table_1a_has_a_row_a_method_and_the_papers_number_beside_a_target_of_the_paper(make_record) -> None:  # type: ignore[no-untyped-def]
    record = make_record({("cub", "finetune"): (0.75, 0.76), ("cub", "uot"): (0.77, 0.7742)})
    (table,) = find("table1a", Results({"the study": record})).comparisons
    assert table.rows == ("finetune", "co_tuning", "random", "greedy_ot", "uot")
    assert table.cell_text("uot", "cub") == "77.21 ± 2.00"
    assert table.printed_text("uot", "cub") == "paper 77.21 (equal)"
    assert table.cell_text("random", "cub") == "—"


def test_table_1a_in_miniature_stands_beside_the_papers_table(make_record) -> None:  # type: ignore[no-untyped-def]
    record = make_record({("greek", "uot"): (0.8, 0.9), ("digits", "uot"): (0.6, 0.7), ("digits", "finetune"): None,
                          ("greek", "finetune"): (0.5, 0.5)})  # fmt: skip
    (table,) = find("table1a", Results({"the study": record})).comparisons
    assert table.stands_apart
    assert table.columns == ("greek", "digits", AVERAGE)
    assert table.values["uot", AVERAGE].mean == pytest.approx(0.75)
    assert ("finetune", AVERAGE) not in table.values


def test_table_1b_keeps_the_two_studies_apart_and_has_one_row_of_fine_tuning(make_record) -> None:  # type: ignore[no-untyped-def]
    labelled = make_record({("cub", "finetune"): (0.7, 0.7), ("cub", "uot"): (0.8, 0.8)})
    clusters = make_record({("cub", "uot"): (0.75, 0.75)})
    (table,) = find("table1b", Results({"with labels": labelled, "without labels": clusters})).comparisons
    assert [table.cell_text(row, "cub").split()[0] for row in table.rows] == [
        "70.00", "—", "—", "80.00", "—", "—", "75.00"
    ]  # fmt: skip
    assert table.printed("uot, with labels", "cub") == 80.98
    assert table.printed("uot, without labels", "cub") == 78.96


def test_table_2_has_a_row_a_number_of_clusters(make_record) -> None:  # type: ignore[no-untyped-def]
    few, many = (make_record({("cub", "uot"): (score, score)}) for score in (0.5, 0.6))
    (table,) = find("table2", Results({"K = 1000": few, "K = 2000": many})).comparisons
    assert table.rows == ("K = 1000", "K = 2000")
    assert [table.values[row, "cub"].mean for row in table.rows] == [0.5, 0.6]
    assert table.deviation("K = 1000", "cub") == round(50.0 - 78.48, 2)


def test_table_3_is_of_the_study_with_the_long_tail(make_record) -> None:  # type: ignore[no-untyped-def]
    record = make_record({("caltech101", "finetune"): (0.7396, 0.7396), ("caltech101", "uot"): (0.78, 0.78)})
    (table,) = find("table3", Results({"long tail": record})).comparisons
    assert table.printed_text("finetune", "caltech101") == "paper 73.96 (equal)"
    assert table.deviation("uot", "caltech101") == -0.2


def test_table_4_reads_the_costs_from_each_study_and_the_network_from_its_point(make_record) -> None:  # type: ignore[no-untyped-def]
    scores = {("cub", "greedy_ot"): (0.6, 0.6), ("cub", "uot"): (0.7, 0.7)}
    paper = make_record(scores, greedy_cost="l2", cost="cosine")
    other = make_record(scores, greedy_cost="cosine", cost="l2")
    results = Results({"supervised: the paper's costs": paper, "self-supervised: the other costs": other})
    recall, accuracy = find("table4", results).comparisons
    assert recall.values == {}
    assert {place: value.mean for place, value in accuracy.values.items()} == {
        ("supervised", "greedy_ot, l2"): 0.6,
        ("supervised", "uot, cosine"): 0.7,
        ("self-supervised", "greedy_ot, cosine"): 0.6,
        ("self-supervised", "uot, l2"): 0.7,
    }


def test_table_4_measures_the_recall_of_every_cost_and_method(directions) -> None:  # type: ignore[no-untyped-def]
    recall, accuracy = find("table4", Results(problems={"supervised": directions})).comparisons
    # Of the two nearest groups, 0 and 1, one is expected, by every cost and method.
    assert {column: recall.values["supervised", column].mean for column in recall.columns} == dict.fromkeys(
        ("greedy_ot, l2", "greedy_ot, cosine", "uot, l2", "uot, cosine"), 0.5
    )
    assert accuracy.values == {}


def test_figure_2b_draws_and_lists_the_ranked_groups_and_marks_the_expected_ones(directions) -> None:  # type: ignore[no-untyped-def]
    found = find("figure2b", Results(problems={"supervised": directions}))
    (table,), (drawing,), (listing,) = found.comparisons, found.drawings, found.listings
    assert table.values["supervised", "recall"].mean == 0.5
    assert "1 of 2 expected groups are among the first 2" in drawing.svg
    assert {row[1] for row in listing.rows} == {"group 0", "group 1"}
    assert {row[1]: row[3] for row in listing.rows} == {"group 0": "yes", "group 1": "no"}
    masses = [float(row[2]) for row in listing.rows]
    assert masses == sorted(masses, reverse=True)


def in_parts(record, *parts: tuple[str, str | None, float | None]):  # type: ignore[no-untyped-def]
    """Give a study the settings of targets that are parts of sets: (set, name of the target, fraction)."""
    targets = [
        {"published": published, "registered": None, "name": name, "regime": {"fraction": fraction}}
        for published, name, fraction in parts
    ]
    return replace(record, settings={**record.settings, "targets": targets})


def test_figure_3a_has_scores_and_paired_gaps_by_part_and_leaves_out_what_is_not_tested(make_record) -> None:  # type: ignore[no-untyped-def]
    scores = {("cub-20", "finetune"): (0.4, 0.5), ("cub-20", "uot"): (0.45, 0.57)}
    scores |= {("cub", "finetune"): (0.7549, 0.7549), ("cub", "uot"): None}
    record = in_parts(make_record(scores), ("cub", "cub-20", 0.2), ("cub", None, None))
    found = find("figure3a", Results({"all parts": record}))
    table, gaps = found.comparisons
    assert table.columns == gaps.columns == ("20%", "40%", "60%", "80%", "100%")
    assert table.rows == ("cub · finetune", "cub · uot")
    assert table.cell_text("cub · uot", "20%").startswith("51.00")
    assert table.cell_text("cub · uot", "100%") == "—"
    assert table.deviation("cub · finetune", "100%") == 0.0
    assert {place: round(value.mean, 4) for place, value in gaps.values.items()} == {
        ("cub · uot − finetune", "20%"): 0.06
    }
    assert len(found.drawings) == 2
    assert "20: 6.00" in found.drawings[1].svg


def test_figure_3b_draws_the_label_based_selection_as_a_line(make_record) -> None:  # type: ignore[no-untyped-def]
    few, many = (
        make_record({("cub", "random"): (low, low), ("cub", "uot"): (high, high)})
        for low, high in ((0.5, 0.6), (0.55, 0.65))
    )
    label = make_record({("cub", "label"): (0.7, 0.7)})
    found = find("figure3b", Results({"50": few, "300": many, "by label": label}))
    (table,), (drawing,) = found.comparisons, found.drawings
    assert table.columns == ("50", "300", "by label")
    assert table.values["cub · label", "by label"].mean == 0.7
    assert table.printed("cub · label", "by label") == 76.89
    assert "uot: 50: 60.00 ± 2.00, 300: 65.00 ± 2.00; label: 70.00 ± 2.00 throughout" in drawing.svg


def test_figure_3b_takes_the_label_based_selection_from_whichever_study_trained_it(make_record) -> None:  # type: ignore[no-untyped-def]
    both = make_record({("greek", "uot"): (0.6, 0.6), ("greek", "label"): (0.7, 0.7)})
    (table,) = find("figure3b", Results({"80": both})).comparisons
    assert set(table.values) == {("greek · uot", "80"), ("greek · label", "by label")}
    assert table.rows[-1] == "greek · label"


def test_figure_4a_measures_the_recall_at_each_scale(directions) -> None:  # type: ignore[no-untyped-def]
    blunt = replace(directions, expected=(0, 1))
    found = find("figure4a", Results(problems={"supervised": blunt}))
    (table,), (drawing,) = found.comparisons, found.drawings
    assert table.columns == ("0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1")
    assert all(table.values["supervised", column].mean == 1.0 for column in table.columns)
    assert "0.01: 100.00" in drawing.svg


def test_figure_4b_has_a_column_a_part_and_fine_tuning_as_a_line(make_record) -> None:  # type: ignore[no-untyped-def]
    first = make_record({("cub", "finetune"): (0.7549, 0.7549), ("cub", "uot"): (0.8, 0.8)})
    second = make_record({("cub", "uot"): (0.6, 0.6)})
    found = find("figure4b", Results({"1": first, "2": second}))
    (table,), (drawing,) = found.comparisons, found.drawings
    assert [table.cell_text("cub · uot", column).split()[0] for column in table.columns] == ["80.00", "60.00"]
    assert table.deviation("cub · finetune", "1") == 0.0
    assert table.cell_text("cub · finetune", "2") == "—"
    assert "uot: 1: 80.00 ± 2.00, 2: 60.00 ± 2.00; finetune: 75.49 ± 2.00 throughout" in drawing.svg
