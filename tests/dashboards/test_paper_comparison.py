import pytest

from pretrieve_dashboards.paper_comparison import Comparison, Published, Value, published_table
from pretrieve_dashboards.wording import AVERAGE

PUBLISHED = published_table("Table 9", ("cub", "pets"), {"finetune": (75.49, 91.40), "uot": (77.21, 91.98)})


def table(values, columns=("cub", "dtd")):
    return Comparison("score", "method", ("finetune", "uot"), columns, values, PUBLISHED)


def test_a_printed_table_keeps_its_rows_columns_and_numbers():
    assert PUBLISHED.rows == ("finetune", "uot")
    assert PUBLISHED.columns == ("cub", "pets")
    assert PUBLISHED.values["uot", "pets"] == 91.98


def test_a_printed_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="zip"):
        published_table("Table 9", ("cub", "pets"), {"uot": (77.21,)})


def test_ours_stands_beside_the_papers_with_the_difference_of_the_printed_numbers():
    compared = table({("uot", "cub"): Value(0.77214), ("finetune", "cub"): Value(0.7, 0.012)})
    assert compared.printed_text("uot", "cub") == "paper 77.21 (equal)"
    assert compared.cell_text("finetune", "cub") == "70.00 ± 1.20"
    assert compared.printed_text("finetune", "cub") == "paper 75.49 (-5.49)"


def test_a_number_that_rounds_to_another_is_not_called_equal():
    assert table({("uot", "cub"): Value(0.77216)}).printed_text("uot", "cub") == "paper 77.21 (+0.01)"


def test_what_is_missing_on_either_side_is_said():
    compared = table({("uot", "dtd"): Value(0.5)})
    assert compared.cell_text("uot", "cub") == "—"
    assert compared.printed_text("uot", "cub") == "paper 77.21"
    assert compared.printed_text("uot", "dtd") == ""


def test_the_papers_table_stands_apart_where_no_place_is_ours():
    assert table({}, columns=("greek", "digits")).stands_apart
    assert not table({}).stands_apart
    assert not Comparison("x", "x", ("uot",), ("greek",), {}).stands_apart
    assert not Comparison("x", "x", ("uot",), ("greek",), {}, Published("nothing is printed", {})).stands_apart


def test_numbers_of_other_data_compare_with_none_of_the_papers_even_under_the_same_names():
    mini = Comparison("score", "method", ("uot",), ("cub",), {("uot", "cub"): Value(0.5)}, PUBLISHED, True)
    assert mini.stands_apart
    assert mini.printed_text("uot", "cub") == ""
    assert mini.deviation("uot", "cub") is None


def test_an_average_compares_only_where_it_is_over_the_same_targets():
    printed = published_table("Table 9", ("cub", "pets", AVERAGE), {"uot": (1.0, 2.0, 1.5)})

    def compared(*targets):
        return Comparison("score", "method", ("uot",), (*targets, AVERAGE), {}, printed)

    assert compared("pets", "cub").printed("uot", AVERAGE) == 1.5
    assert compared("cub").printed("uot", AVERAGE) is None
    assert compared("cub").printed("uot", "cub") == 1.0
    assert compared("greek", "digits").stands_apart
