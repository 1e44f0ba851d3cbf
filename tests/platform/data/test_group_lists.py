import json
from pathlib import Path

import pytest

from pretrieve.data.group_lists import read_group_list
from pretrieve.errors import UserError

NAMES = ("n01440764 tench", "n01443537 goldfish", "cock")


@pytest.mark.parametrize("groups", [["n01443537", "cock", 0], [1, "2", "n01440764 tench"]])
def test_groups_are_found_by_name_wordnet_id_or_index_in_the_order_given(groups: list[str | int]) -> None:
    assert read_group_list(groups, NAMES) == [1, 2, 0]


@pytest.mark.parametrize("text", [json.dumps(["cock", 1]), "cock\n\n1\n"])
def test_a_file_is_a_json_list_or_a_group_a_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list"
    path.write_text(text, encoding="utf-8")
    assert read_group_list(str(path), NAMES) == [2, 1]


def test_a_list_of_imagenet_is_refused_for_another_source() -> None:
    with pytest.raises(UserError, match="up to 146, but the source has 3 groups; list its own groups by name"):
        read_group_list("imagenet-birds", NAMES)


def test_the_birds_are_59_classes_of_imagenet() -> None:
    assert len(read_group_list("imagenet-birds", [f"group {k}" for k in range(1000)])) == 59


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["cook"], r"of the list must be an index from 0 to 2 .* but is 'cook'. Did you mean 'cock'\?"),
        ([3], "but is '3'"),
        ("imagenet-bird", r"neither. Did you mean 'imagenet-birds'\?"),
    ],
)
def test_a_group_of_no_source_is_named_with_the_nearest_word(groups: list[str | int] | str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_group_list(groups, NAMES)


def test_a_broken_json_list_is_named(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text("[1, ", encoding="utf-8")
    with pytest.raises(UserError, match="must be a JSON list or one group a line"):
        read_group_list(str(path), NAMES)
