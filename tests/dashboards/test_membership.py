from dataclasses import replace
from xml.etree import ElementTree

from pretrieve_dashboards.views._base import of_target
from pretrieve_dashboards.views.selections import Membership, member_groups

SVG = "{http://www.w3.org/2000/svg}"


def birds_of(record):
    return of_target(record, record.targets[0])


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
    record = birds_of(study_of(finished_study, make_selection))
    assert [(group.name, group.ranks) for group in member_groups(record.selections)] == [
        ("owl", {"uot": 2, "nearest": 1, "random": 1}),
        ("kite", {"uot": 1, "nearest": 2}),
        ("coot", {"nearest": 3}),
        ("wren", {"uot": 3}),
    ]
    assert Membership().table(record).texts() == [
        ["owl", "2", "1", "1", "all"],
        ["kite", "1", "2", "·", "2 methods"],
        ["coot", "·", "3", "·", "nearest alone"],
        ["wren", "3", "·", "·", "uot alone"],
    ]


def test_figure_joins_neighbours_and_says_the_same_in_words(finished_study, make_selection):
    (figure,) = Membership().figures(birds_of(study_of(finished_study, make_selection)))
    root = ElementTree.fromstring(figure.svg)
    words = {"".join(node.itertext()) for node in root.iter(f"{SVG}text")}
    assert {"uot", "nearest", "random", "1 alone", "0 alone", "4 groups, a column each"} <= words
    assert root.get("aria-label").endswith(
        "4 groups in all, 1 of them chosen by all; uot: 1 alone, margin 0.25; nearest: 1 alone, margin all chosen; "
        "random: 0 alone, margin 0.1 and 4 that are not listed."
    )


def test_two_groups_of_one_name_stay_two(make_selection):
    both = (
        make_selection("birds", "uot", (1,), ("crane",), (0.5,)),
        make_selection("birds", "nearest", (9,), ("crane",), (0.5,)),
    )
    assert [group.ranks for group in member_groups(both)] == [{"uot": 1}, {"nearest": 1}]


def test_study_with_fewer_than_two_selections_has_nothing_to_compare(unfinished_study):
    assert not Membership().applies(replace(unfinished_study, selections=unfinished_study.selections[:1]))
    assert not Membership().applies(replace(unfinished_study, selections=()))
