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


@pytest.mark.parametrize(
    ("group", "names", "meant"),
    [
        ("crane", ["crane", "hen", "crane"], r"any of 2: 0 \('crane'\), 2 \('crane'\); give its whole name"),
        ("great", ["great white shark", "tench", "great grey owl"], r"any of 2: 0 \('great white shark'\), 2 "),
        ("crane", ["hen", " crane", "crane "], "any of 2: 1 .*, 2 "),
        ("caf\u00e9", ["caf\u00e9", "cafe\u0301"], "any of 2: 0 .*, 1 "),
        ("0", ["2", "1", "0"], r"any of 2: 0 \('2'\), 2 \('0'\)"),
        (2, ["2", "1", "0"], r"any of 2: 0 \('2'\), 2 \('0'\)"),
        ("n0", ["n0 a", "n0 b", "n0 c", "n0 d"], "any of 4: .*, 2 .*, …; give"),
    ],
)
def test_a_word_that_may_be_several_groups_is_refused_with_all_of_them(
    group: str | int, names: list[str], meant: str
) -> None:
    with pytest.raises(UserError, match=f"must be one group of the source, but {str(group)!r} may be {meant}"):
        read_group_list([group], names)


def test_what_only_one_group_can_be_is_found() -> None:
    names = ["crane", "crane fly", "great owl", "1 [toy]", "4", ":kite:", "cafe\u0301 noir"]
    assert read_group_list(["crane", "great", " great  owl", 4, "[0]", 0, ":kite:", "caf\u00e9"], [*names, "[0]"]) == [
        *(0, 2, 2, 4, 7, 0, 5, 6)
    ]


def test_names_with_brackets_can_be_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\ufeff[kite] bird\r\n[1]\r\n", encoding="utf-8")
    assert read_group_list(str(tmp_path / "list.txt"), ["hen", "[1]", "[kite] bird"]) == [2, 1]


@pytest.mark.parametrize(
    "content",
    ["caf\u00e9".encode("latin-1"), "hen".encode("utf-16"), b"[" * 100_000, b"[" + b"9" * 5_000 + b"]", b"[\xff]"],
    ids=["latin-1", "utf-16", "deep", "digits", "bytes"],
)
def test_a_file_that_is_no_list_is_one_message(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.json").write_bytes(content)
    with pytest.raises(UserError, match=r"list\.json must be a JSON list or one group a line, in UTF-8, but: "):
        read_group_list(str(tmp_path / "list.json"), NAMES)


@pytest.mark.parametrize("word", ["²", "٣", "9" * 5_000, "-1", True, None, 1.0, "x" * 10_000, "\ud800", ""])
def test_what_only_looks_like_a_group_is_refused_in_a_short_message(word: str) -> None:
    with pytest.raises(UserError, match="a group of the list must be an index from 0 to 2") as told:
        read_group_list([word], NAMES)
    assert len(str(told.value).encode()) < 300


@pytest.mark.parametrize("path", [".", "a" * 5_000, "a\0b"])
def test_a_path_that_is_no_file_is_one_message(path: str) -> None:
    with pytest.raises(UserError, match=r"must be a (JSON list or one group a line|file or one of)"):
        read_group_list(path, NAMES)
