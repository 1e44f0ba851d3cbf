from xml.etree import ElementTree

import pytest

from pretrieve_dashboards.svg_canvas import Canvas, Scale, round_ticks


def test_canvas_escapes_words_and_has_a_text_alternative_and_no_size():
    canvas = Canvas(10, 20)
    canvas.text(1, 2, "<script>&")
    root = ElementTree.fromstring(canvas.write(title='A "title"', alternative="What <it> shows"))
    assert [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")] == ["<script>&"]
    assert (root.get("role"), root.get("aria-label")) == ("img", 'A "title". What <it> shows')
    assert (root.get("viewBox"), root.get("width")) == ("0 0 10 20", None)


def test_numbers_are_short_and_right():
    canvas = Canvas(400, 400)
    canvas.line([(0.0, 100.0), (1.239, 399.96), (200, 10)])
    assert 'points="0,100 1.24,400 200,10"' in canvas.write(title="t", alternative="a")


@pytest.mark.parametrize(
    ("low", "high", "whole", "ticks"),
    [
        (0.0, 0.0, False, (0.0,)),
        (13.0, 27.0, False, (15.0, 20.0, 25.0)),
        (1.0, 100.0, True, (20.0, 40.0, 60.0, 80.0, 100.0)),
        (-1.0, 1.0, False, (-1.0, -0.5, 0.0, 0.5, 1.0)),
    ],
)
def test_ticks_are_round_and_inside(low, high, whole, ticks):
    assert round_ticks(low, high, at_most=5, whole=whole) == ticks


def test_scale_of_one_value_puts_it_in_the_middle():
    assert Scale(3, 3, 0, 10)(3) == 5
    assert Scale(0, 10, 100, 0)(2.5) == 75
