from dataclasses import replace

from pretrieve_dashboards.report import render_report
from pretrieve_dashboards.views._base import of_target
from pretrieve_dashboards.views.selections import Overlap, Selections


def birds_of(record):
    return of_target(record, record.targets[0])


def test_selections_stand_side_by_side_with_what_they_share(finished_study):
    record = birds_of(finished_study)
    table = Selections().table(record)
    assert table.head == ("rank", "random", "uot")
    assert table.texts()[0] == ["1", "[red] kite", "$x$ owl $y$"]
    assert table.texts()[2] == ["3", "", "鳥"]
    assert [row[1:3] for row in Overlap().table(record).texts()] == [["2", "1"], ["1", "3"]]
    assert Selections().table(of_target(finished_study, finished_study.targets[1])).rows == []


def test_pictures_stand_beside_the_names_of_their_groups(finished_study, make_selection):
    names = ("kite", "owl", "tern")
    pictured = make_selection("birds", "uot", (4, 2, 1), names, (0.5, 0.4, 0.3), thumbnails=("AAAA", "", "BBBB"))
    without = make_selection("birds", "nearest", (4, 2), names[:2], (0.5, 0.4))
    record = replace(finished_study, selections=(pictured, without))
    assert [["thumbnail" in text for text in row[1:]] for row in Selections().table(birds_of(record)).texts()] == [
        [True, False],
        [False, False],
        [True, False],
    ]
    page = render_report(record)
    assert page.count('class="thumbnail"') == 2
    assert 'alt="Images of tern" src="data:image/jpeg;base64,BBBB"' in page


def test_groups_of_a_decile_are_counted_from_its_first_rank(finished_study, make_selection):
    names = ("kite", "owl")
    decile = [
        make_selection("birds", method, (4, 2), names, (0.5, 0.4), ranks=(201, 202)) for method in ("uot", "nearest")
    ]
    record = birds_of(replace(finished_study, selections=tuple(decile)))
    table = Selections().table(record)
    assert (table.head[0], [row[0] for row in table.texts()]) == ("rank", ["201", "202"])


def test_groups_whose_ranks_differ_by_method_are_counted_by_place(finished_study, make_selection):
    names = ("kite", "owl")
    capped = make_selection("birds", "uot", (4, 2), names, (0.5, 0.4), ranks=(1, 7))
    whole = make_selection("birds", "nearest", (4, 2), names, (0.5, 0.4))
    record = birds_of(replace(finished_study, selections=(capped, whole)))
    table = Selections().table(record)
    assert (table.head[0], [row[0] for row in table.texts()]) == ("place", ["1", "2"])


def test_overlap_counts_also_what_a_record_does_not_list(finished_study, make_selection):
    uot = make_selection("birds", "uot", (4,), ("kite",), (0.5,), num_selected=900, num_shared={"nearest": 300})
    nearest = make_selection("birds", "nearest", (4,), ("kite",), (0.5,), num_selected=700, num_shared={"uot": 300})
    record = birds_of(replace(finished_study, selections=(uot, nearest)))
    assert [row[1:3] for row in Overlap().table(record).texts()] == [["900", "300"], ["300", "700"]]
