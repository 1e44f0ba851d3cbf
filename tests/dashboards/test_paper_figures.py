from xml.etree import ElementTree

import pytest

from pretrieve_dashboards.paper_comparison import Value
from pretrieve_dashboards.paper_figures import Curve, Level, draw_curves, draw_ranked_groups

SVG = "{http://www.w3.org/2000/svg}"


def draw(**changes):
    given = {
        "title": "Score over K",
        "xs": [50.0, 100.0, 300.0],
        "curves": [Curve("uot", (Value(0.5, 0.01), None, Value(0.75))), Curve("random", (None, None, None))],
        "levels": [Level("label", Value(0.7))],
        "x_label": "reused groups",
        "y_label": "score in %",
    }
    return draw_curves(**given | changes)


def test_every_number_is_given_in_words_and_what_is_missing_too():
    (label,) = [ElementTree.fromstring(draw()).attrib["aria-label"]]
    assert label == ("Score over K. uot: 50: 50.00 ± 1.00, 300: 75.00; random: nothing yet; label: 70.00 throughout.")


def test_lines_levels_and_axes_are_named():
    svg = draw()
    for word in ("uot", "random", "label", "reused groups", "score in %", ">50<", ">100<", ">300<"):
        assert word in svg
    assert "currentColor" in svg


@pytest.mark.parametrize(
    ("xs", "place_of_middle"),
    [
        pytest.param([0.001, 0.01, 1.0], 1 / 3, id="logarithmic from a hundredfold on"),
        pytest.param([20.0, 40.0, 100.0], 0.25, id="else even"),
    ],
)
def test_the_axis_marks_the_values_that_were_measured_where_they_lie(xs, place_of_middle):
    root = ElementTree.fromstring(draw(xs=xs))
    at = {"".join(node.itertext()): float(node.get("x")) for node in root.iter(f"{SVG}text")}
    low, middle, high = (at[f"{x:g}"] for x in xs)
    assert (middle - low) / (high - low) == pytest.approx(place_of_middle, abs=0.01)


def test_nothing_known_is_drawn_as_nothing():
    assert "nothing yet" in draw(curves=[Curve("uot", (None, None, None))], levels=[])
    assert draw(curves=[], levels=[]).startswith("<svg")


def test_ranked_groups_say_how_many_expected_ones_are_found_and_where_the_last_one_is():
    svg = draw_ranked_groups("Ranked similarity", (7, 3, 9), (5.0, 2.0, 1.0), {3, 4, 7})
    label = ElementTree.fromstring(svg).attrib["aria-label"]
    expected = "2 of 3 expected groups are among the first 3; the last one has rank 2."
    assert label == f"Ranked similarity. {expected}"
    assert ">expected<" in svg


def test_ranked_groups_without_an_expected_one_say_so():
    assert "0 of 1 expected groups are among the first 2." in draw_ranked_groups("R", (1, 2), (2.0, 1.0), {5})
