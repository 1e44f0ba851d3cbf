"""Labels as people write them: which are one class, which are none, and what each refusal offers."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pretrieve.data.forms.csv_table import load_csv
from pretrieve.data.forms.examples import image_set_from_examples
from pretrieve.data.forms.parquet_tables import load_parquet
from pretrieve.data.image_set import ImageSet
from pretrieve.data.loading import load_source, load_target
from pretrieve.data.settings import ImageSetSettings
from pretrieve.errors import ImageSetError

COMPOSED, DECOMPOSED = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")
ALIKE = {
    "case": ("Cat", "cat"),
    "accents": (COMPOSED, DECOMPOSED),
    "a zero-width space": ("b\u200b", "b"),
    "double spaces": ("golden  retriever", "golden retriever"),
    "a no-break space": ("golden\u00a0retriever", "golden retriever"),
    "a ligature": ("ﬁnch", "finch"),
    "full-width letters": ("Ｄｏｇ", "dog"),
    "sharp s": ("Straße", "STRASSE"),
}


def make_set(labels: list[Any], **rules: Any) -> ImageSet:
    examples = [(np.full((4, 4), k, np.uint8), *(label if isinstance(label, tuple) else (label,)))
                for k, label in enumerate(labels)]  # fmt: skip
    return image_set_from_examples("x", examples, **rules)


def named(image_set: ImageSet, split: str = "train") -> list[str]:
    return [image_set.class_names[label] for label in image_set.splits[split]["label"].to_pylist()]


@pytest.mark.parametrize("kind", ALIKE)
def test_names_that_differ_in_writing_alone_are_refused_with_both_spellings(kind: str) -> None:
    one, other = ALIKE[kind]
    with pytest.raises(ImageSetError, match="labels must differ in more than case, spaces or Unicode form") as caught:
        make_set([one, "ant", other])
    assert ascii(one)[1:-1] in str(caught.value) or repr(one) in str(caught.value)
    assert repr(other) in str(caught.value)
    assert "normalise_labels: true" in str(caught.value)


@pytest.mark.parametrize("kind", ALIKE)
def test_they_are_one_class_where_the_user_says_so(kind: str) -> None:
    one, other = ALIKE[kind]
    made = make_set([one, "ant", other, (other, "test")], normalise_labels=True)
    assert named(made) == [one, "ant", one]
    assert named(made, "test") == [one]
    listed = make_set([one, "ant", other], normalise_labels=True, class_names=["ant", other])
    assert named(listed) == [other, "ant", other]


def test_a_spelling_of_test_alone_is_refused_too() -> None:
    with pytest.raises(ImageSetError, match="'Cat' and 'cat' do not"):
        make_set(["Cat", "ant", ("cat", "test")])


def test_letters_of_both_cases_are_classes_where_both_are_listed() -> None:
    made = make_set(["a", "A", "b"], class_names=["A", "a", "b"])
    assert named(made) == ["a", "A", "b"]
    assert made.class_names == ("A", "a", "b")


@pytest.mark.parametrize("no_label", [-1, "-1", [-1, 99], ("unknown", -1)])
def test_rows_whose_label_means_none_are_left_out(no_label: Any) -> None:
    made = make_set([0, 1, -1, (1, "test"), (-1, "test"), (-1, "val")], no_label=no_label)
    assert named(made) == ["0", "1"]
    assert named(made, "test") == ["1"]
    assert set(made.splits) == {"train", "test"}
    assert made.splits["train"]["content"].null_count == 0


def test_words_and_empty_cells_may_mean_none() -> None:
    assert named(make_set(["ant", "bee", "unknown", None], no_label=["unknown", ""])) == ["ant", "bee"]


def test_left_out_rows_take_their_own_images_with_them() -> None:
    whole = make_set(["ant", "?", "bee", "?", "bee"], no_label="?")
    paths = [path.rpartition("/")[2] for path in whole.splits["train"]["path"].to_pylist()]
    assert paths == ["000000", "000002", "000004"]


def test_left_out_rows_take_their_groups_with_them() -> None:
    rows = [("ant", "train", "p1"), ("?", "train", "p2"), ("bee", "train", "p3"), ("?", "train", "p4")]
    assert make_set(rows, no_label="?").splits["train"]["group"].to_pylist() == ["p1", "p3"]


@pytest.fixture
def study_csv(tmp_path: Path, write_images: Callable[..., Path]) -> Callable[..., ImageSet]:
    """Load twelve images with the given labels as a study file does."""

    def load(labels: list[str], **fields: Any) -> ImageSet:
        root = write_images(*(f"{k}.png" for k in range(len(labels))))
        lines = "".join(f"{k}.png,{label}\n" for k, label in enumerate(labels))
        (root / "t.csv").write_text("path,label\n" + lines, encoding="utf-8")
        settings = ImageSetSettings.model_validate({"csv": str(root / "t.csv"), "test_fraction": 0.3, **fields})
        return load_target(settings, seed=0, cache=tmp_path)

    return load


def test_labels_from_one_are_told_the_mapping_that_a_study_file_takes(study_csv) -> None:
    message = r"must count from 0, but count from 1 to 3; give class_names as a mapping: class_names: \{1: name 1, "
    with pytest.raises(ImageSetError, match=message):
        study_csv(["1", "2", "3"] * 4)
    with pytest.raises(ImageSetError, match=r"class_names: \{1: a, 2: b, 3: c\}"):
        study_csv(["1", "2", "3"] * 4, class_names=["a", "b", "c"])
    made = study_csv(["1", "2", "3"] * 4, class_names={1: "a", 2: "b", 3: "c"})
    assert made.class_names == ("a", "b", "c")


@pytest.mark.parametrize("fields", [{"missing_values": []}, {"class_names": ["EU", "NA"]}])
def test_na_is_a_class_where_a_study_says_so(study_csv, fields: dict[str, Any]) -> None:
    with pytest.raises(ImageSetError, match=r"is 'NA', which .* if it is a class, say missing_values: \[\] or list it"):
        study_csv(["NA", "EU"] * 6)
    assert study_csv(["NA", "EU"] * 6, **fields).class_names == ("EU", "NA")


def test_words_of_ones_own_are_refused_as_forgotten(study_csv) -> None:
    with pytest.raises(ImageSetError, match=r"but is '\?', which often means that there is no label; leave such rows"):
        study_csv(["ant", "bee", "?"] * 4, missing_values=["?"])
    assert study_csv(["ant", "bee", "?"] * 4, missing_values=["?"], no_label="?").class_names == ("ant", "bee")


def test_a_study_normalises_labels(study_csv) -> None:
    made = study_csv(["Cat", "cat", "dog"] * 4, normalise_labels=True)
    assert made.class_names == ("Cat", "dog")


@pytest.mark.parametrize("split", ["train", "test"])
def test_minus_one_of_a_table_is_told_and_left_out(tmp_path: Path, png: Callable[[int], bytes], split: str) -> None:
    for name, labels in {"train": [0, 1, 0, 1], "test": [0, 1]}.items():
        labels = [*labels, -1] if name == split else labels
        table = pa.table({"image": [png(len(name) + k) for k in range(len(labels))], "label": labels})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    with pytest.raises(ImageSetError, match="no label; leave such rows out: no_label: -1") as caught:
        load_parquet(tmp_path, name="x")
    assert "Did you mean" not in str(caught.value)
    made = load_source(ImageSetSettings(parquet=tmp_path, no_label=-1), seed=0, cache=tmp_path)
    assert [made.num_images(each) for each in ("train", "test")] == [4, 2]


def test_the_rules_of_labels_are_of_tables_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'no_label' is of a 'csv' or 'parquet', but folder is given; leave it out"):
        ImageSetSettings.model_validate({"folder": str(tmp_path), "no_label": -1})


def test_all_classes_of_one_image_are_named_at_once(tmp_path: Path, write_images: Callable[..., Path]) -> None:
    root = write_images(*(f"{k}.png" for k in range(6)))
    labels = ["ant", "ant", "bee", "bee", "gnu", "yak"]
    (root / "t.csv").write_text("path,label\n" + "".join(f"{k}.png,{word}\n" for k, word in enumerate(labels)))
    with pytest.raises(ImageSetError, match="for the test, but 'gnu', 'yak' have 1; add images"):
        load_csv(root / "t.csv", name="zoo", test_fraction=0.3)
    with pytest.raises(ImageSetError, match="for the test, but 'gnu', 'yak' have 1; add images"):
        load_target(ImageSetSettings(csv=root / "t.csv", test_fraction=0.3), seed=0, cache=tmp_path)
