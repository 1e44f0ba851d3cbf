from dataclasses import replace
from xml.etree import ElementTree

from pretrieve_dashboards.membership_view import membership_figure, membership_table, membership_view

SVG = "{http://www.w3.org/2000/svg}"


def study_of(finished_study, make_selection):
    """uot: kite, owl, wren; nearest: owl, kite, coot; random: owl. Owl is in all, kite in two, wren and coot in one."""
    return replace(
        finished_study,
        selections=(
            make_selection("birds", "uot", (4, 2, 7), ("kite", "owl", "wren"), (0.9, 0.5, 0.4), margin=0.25),
            make_selection("birds", "nearest", (2, 4, 1), ("owl", "kite", "coot"), (3.0, 2.0, 1.0)),
            make_selection("birds", "random", (2,), ("owl",), (0.5,), num_selected=5, margin=0.1),
        ),
    )


def test_groups_of_most_methods_come_first_with_their_ranks(finished_study, make_selection):
    view = membership_view(study_of(finished_study, make_selection), "birds")
    assert [(group.name, group.ranks) for group in view.groups] == [
        ("owl", {"uot": 2, "nearest": 1, "random": 1}),
        ("kite", {"uot": 1, "nearest": 2}),
        ("coot", {"nearest": 3}),
        ("wren", {"uot": 3}),
    ]
    assert (view.num_in_all, view.num_unique) == (1, {"uot": 1, "nearest": 1, "random": 0})
    assert view.margins == {"uot": ("0.25",), "nearest": ("all chosen",), "random": ("0.1",)}
    assert view.num_unlisted == {"uot": 0, "nearest": 0, "random": 4}
    assert membership_table(view).texts() == [
        ["owl", "2", "1", "1", "all"],
        ["kite", "1", "2", "·", "2 methods"],
        ["coot", "·", "3", "·", "nearest alone"],
        ["wren", "3", "·", "·", "uot alone"],
    ]


def test_figure_joins_neighbours_and_says_the_same_in_words(finished_study, make_selection):
    svg = membership_figure(membership_view(study_of(finished_study, make_selection), "birds"))
    root = ElementTree.fromstring(svg)
    words = {"".join(node.itertext()) for node in root.iter(f"{SVG}text")}
    assert {"uot", "nearest", "random", "1 alone", "0 alone", "4 groups, a column each"} <= words
    assert "4 groups in all, 1 of them chosen by all; uot: 1 alone, margin 0.25;" in root.get("aria-label")
    assert "random: 0 alone, margin 0.1 and 4 that are not listed." in root.get("aria-label")


def test_two_groups_of_one_name_stay_two(finished_study, make_selection):
    both = (
        make_selection("birds", "uot", (1,), ("crane",), (0.5,)),
        make_selection("birds", "nearest", (9,), ("crane",), (0.5,)),
    )
    view = membership_view(replace(finished_study, selections=both), "birds")
    assert [group.ranks for group in view.groups] == [{"uot": 1}, {"nearest": 1}]


def test_unfinished_study_shows_the_selections_there_are(unfinished_study):
    one = membership_view(replace(unfinished_study, selections=unfinished_study.selections[:1]), "birds")
    assert (one.methods, len(one.groups), membership_figure(one)) == (("random",), 2, "")
    none = membership_view(replace(unfinished_study, selections=()), "birds")
    assert (none.groups, membership_figure(none), membership_table(none).rows) == ((), "", ())
