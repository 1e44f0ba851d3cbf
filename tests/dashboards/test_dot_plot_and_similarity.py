from dataclasses import replace
from xml.etree import ElementTree

from pretrieve_dashboards import dot_plot, ranked_similarity, score_table

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return ["".join(node.itertext()).strip() for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_dot_plot_names_targets_and_methods_and_lists_the_numbers_as_text(finished_study):
    svg = dot_plot(score_table(finished_study))
    root = ElementTree.fromstring(svg)
    assert {"birds", "<script>alert(1)</script>", "finetune", "uot"} <= set(texts(svg))
    assert root.get("role") == "img"
    assert "birds: finetune 70.0 ± 5.0, uot 90.0 ± 1.2;" in root.get("aria-label")


def test_dot_plot_of_an_unfinished_study_says_what_is_not_tested(unfinished_study):
    svg = dot_plot(score_table(unfinished_study))
    assert "nothing tested yet" in ElementTree.fromstring(svg).get("aria-label")
    assert "uot" in texts(svg)


def test_interval_is_cut_at_what_a_score_can_be(finished_study):
    cells = tuple(replace(cell, test_ci95=2.0) for cell in finished_study.cells)
    ticks = [text for text in texts(dot_plot(score_table(replace(finished_study, cells=cells)))) if text.isdigit()]
    assert min(map(int, ticks)) == 0
    assert max(map(int, ticks)) == 100


def test_figure_takes_the_colour_of_the_page_and_has_no_background_or_size(finished_study):
    svg = dot_plot(score_table(finished_study))
    assert "currentColor" in svg
    assert "#010203" not in svg
    assert "#ffffff" not in svg
    assert ElementTree.fromstring(svg).get("width") is None
    assert "<style" not in svg


def test_same_table_gives_the_same_figure(finished_study):
    table = score_table(finished_study)
    assert dot_plot(table) == dot_plot(table)


def test_ranked_similarity_names_its_ends_and_draws_the_first_left_out(make_selection):
    selection = make_selection("birds", "uot", (4, 2), ("kite", "$\\bad{ owl 鳥"), (0.75, 0.5), margin=0.25)
    svg = ranked_similarity(selection)
    label = ElementTree.fromstring(svg).get("aria-label")
    assert "2 groups, from kite with 0.75 to $\\bad{ owl 鳥 with 0.5; the first group left out is 0.25 lower." in label
    assert "first left out" in texts(svg)


def test_ranked_similarity_of_all_groups_leaves_none_out(make_selection):
    selection = make_selection("birds $x$ 鳥", "uot", (4,), ("kite",), (0.75,))
    assert "first left out" not in texts(ranked_similarity(selection))


def test_decile_of_the_ranking_is_drawn_at_its_own_ranks(make_selection):
    """Ranks 201 to 240: the axis counts these alone, and the group that follows is not the first that was left out."""
    groups = tuple(range(40))
    scores = tuple(1 - group / 100 for group in groups)
    decile = make_selection(
        "birds", "uot", groups, tuple(map(str, groups)), scores, margin=0.5, ranks=tuple(range(201, 241))
    )
    svg = ranked_similarity(decile)
    ticks = [int(text) for text in texts(svg) if text.isdigit()]
    assert 190 < min(ticks) < max(ticks) < 250
    assert "next rank" in texts(svg)
    assert "first left out" not in texts(svg)
    label = ElementTree.fromstring(svg).get("aria-label")
    assert "40 groups of rank 201 to 240, from 0 with 1 to 39 with 0.61; the next group is 0.5 lower." in label


def test_ranks_of_a_far_decile_are_written_whole(make_selection):
    groups = tuple(range(40))
    ranks = tuple(range(1_000_001, 1_000_041))
    far = make_selection("birds", "uot", groups, tuple(map(str, groups)), tuple(map(float, groups)), ranks=ranks)
    assert max(int(text) for text in texts(ranked_similarity(far)) if text.isdigit()) > 1_000_000


def test_group_whose_rank_is_not_known_is_not_drawn(make_selection):
    """Of a capped selection the next one may stand anywhere below; the last of a cut list is not the last chosen."""
    few = make_selection("birds", "uot", (4, 2), ("kite", "owl"), (0.75, 0.5), margin=0.25, ranks=(1, 5))
    cut = make_selection("birds", "uot", (4, 2), ("kite", "owl"), (0.75, 0.5), margin=0.25, num_selected=900)
    for selection in (few, cut):
        assert "first left out" not in texts(ranked_similarity(selection))
    assert "the first group left out is 0.25 lower" in ranked_similarity(few)
    assert "The first 2 of 900 groups, from kite with 0.75 to owl with 0.5." in ranked_similarity(cut)


def test_empty_selection_is_drawn_empty(make_selection):
    assert "No group was chosen." in ranked_similarity(make_selection("birds", "uot", (), (), ()))


def test_many_methods_with_long_names_keep_their_legend(finished_study):
    methods = tuple(f"method_with_a_long_name_{number}" for number in range(9))
    cells = tuple(replace(finished_study.cells[0], method=method) for method in methods)
    svg = dot_plot(score_table(replace(finished_study, methods=methods, cells=cells)))
    assert set(methods) <= set(texts(svg))
