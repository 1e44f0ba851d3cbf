import shutil

import pytest

from pretrieve.data.forms.csv_table import load_csv
from pretrieve.errors import ImageSetError

FILES = ("cat/1.png", "cat/2.png", "ant/1.png", "ant/2.png")


@pytest.fixture
def load(write_images):
    """Write pictures and a table beside them, and load it."""

    def write_and_load(text, *, files=FILES, file="labels.csv", **options):
        folder = write_images(*files)
        (folder / file).write_text(text, encoding=options.pop("encoding", "utf-8"))
        return load_csv(folder / file, name="animals", **options)

    return write_and_load


def _rows(image_set, split="train"):
    table = image_set.splits[split]
    pairs = zip(table["path"].to_pylist(), table["label"].to_pylist(), strict=True)
    return [(path.rpartition("data/")[2], image_set.class_names[label]) for path, label in pairs]


def test_paths_are_relative_to_the_table_and_names_are_sorted(load):
    made = load("path,label\ncat/1.png,cat\nant/1.png,ant\n")
    assert made.class_names == ("ant", "cat")
    assert _rows(made) == [("cat/1.png", "cat"), ("ant/1.png", "ant")]
    assert made.splits["train"]["content"].null_count == 2


def test_a_split_column_tells_splits_by_any_of_their_words(load):
    made = load(
        "path,label,split\ncat/1.png,cat,train\nant/1.png,ant,Training\ncat/2.png,cat,validation\nant/2.png,ant,test\n"
    )
    assert _rows(made) == [("cat/1.png", "cat"), ("ant/1.png", "ant")]
    assert _rows(made, "val") == [("cat/2.png", "cat")]
    assert _rows(made, "test") == [("ant/2.png", "ant")]


@pytest.mark.parametrize(("delimiter", "file"), [("\t", "labels.tsv"), (";", "labels.csv"), (",", "labels.csv")])
def test_tabs_semicolons_and_commas_part_cells_after_excels_mark(load, delimiter, file):
    lines = [("path", "label"), ("cat/1.png", '"cat, or lion; yes"'), ("ant/1.png", " ant ")]
    text = "\r\n".join(delimiter.join(line) for line in lines)
    made = load(text, file=file, encoding="utf-8-sig")
    assert made.class_names == ("ant", "cat, or lion; yes")


def test_other_columns_and_another_root_may_be_named(load, tmp_path, write_images):
    root = write_images("1.png", folder="elsewhere")
    made = load("where,kind,note\n1.png,ant,x\n", image_column="where", label_column="kind", root=root)
    assert made.splits["train"]["path"].to_pylist() == [str(tmp_path / "elsewhere/1.png")]


def test_integers_are_indices_in_the_order_of_numbers_or_of_the_names_given(load):
    text = "path,label\n" + "".join(f"{k}.png,{k}\n" for k in range(11))
    files = [f"{k}.png" for k in range(11)]
    assert load(text, files=files).splits["train"]["label"].to_pylist() == list(range(11))
    names = [f"class {letter}" for letter in "zyxwvutsrqp"]
    made = load(text, files=files, class_names=names)
    assert made.class_names == tuple(names)
    assert made.splits["train"]["label"].to_pylist() == list(range(11))


def test_gaps_in_integers_are_refused_with_the_missing_ones_unless_a_mapping_names_the_rest(load):
    text = "path,label\ncat/1.png,5\nant/1.png,2\n"
    with pytest.raises(ImageSetError, match=r"must be 0 … 5 without gaps in train, but 4 are missing: 0, 1, 3, 4; add"):
        load(text)
    made = load(text, class_names={2: "ant", 5: "cat"})
    assert _rows(made) == [("cat/1.png", "cat"), ("ant/1.png", "ant")]


def test_a_number_that_is_a_name_and_another_ones_position_is_refused(load):
    text = "path,label\ncat/1.png,0\nant/1.png,1\n"
    with pytest.raises(ImageSetError, match=r"'0' is name 1 and position 0 is '1'; give class_names as a mapping"):
        load(text, class_names=["1", "0"])
    assert _rows(load(text, class_names={1: "one", 0: "zero"})) == [("cat/1.png", "zero"), ("ant/1.png", "one")]


def test_padded_integers_are_names_and_two_spellings_of_one_are_refused(load):
    assert load("path,label\ncat/1.png,007\nant/1.png,012\n").class_names == ("007", "012")
    with pytest.raises(ImageSetError, match=r"written in one way, but '01' is also 1"):
        load("path,label\ncat/1.png,01\nant/1.png,1\n")


@pytest.mark.parametrize("label", ["", "nan", "None", "N/A"])
def test_a_missing_label_is_refused_with_its_line(load, label):
    with pytest.raises(
        ImageSetError, match=rf"has 1 fault:\n  - labels.csv, line 3: a label must be .* but is '{label}'"
    ):
        load(f"path,label\ncat/1.png,cat\nant/1.png,{label}\n")


def test_a_name_that_looks_like_nothing_is_a_class_where_the_user_lists_it(load):
    made = load("path,label\ncat/1.png,none\nant/1.png,ant\n", class_names=["none", "ant"])
    assert _rows(made) == [("cat/1.png", "none"), ("ant/1.png", "ant")]


def test_a_label_that_has_become_a_fraction_is_refused(load):
    with pytest.raises(ImageSetError, match=r"line 2: a label must be .*, but is '1\.0'; write it without a point"):
        load("path,label\ncat/1.png,1.0\nant/1.png,0.0\n")


def test_all_faults_are_counted_and_the_first_five_shown_with_line_and_value(load):
    lines = ["cat/1.png,cat,train", "gone.png,cat,train", "cat/1.png,cat,test", "ant/1.png,ant,trian", ",ant,train"]
    lines += ["ant/2.png,ant", "cat/2.png,,train", "gone2.png,,train"]
    with pytest.raises(ImageSetError, match=r"has 8 faults, of which the first 5") as caught:
        load("path,label,split\n" + "\n".join(lines))
    text = str(caught.value)
    assert text.count("\n  - ") == 5
    assert "line 5: a split must be train, val or test, but is 'trian'. Did you mean 'train'?" in text
    assert "line 6: an image's path must be given, but its cell is empty" in text
    assert "line 7: a line must have 3 cells as the header has, but has 2: ['ant/2.png', 'ant']" in text
    assert "line 3: the image's file must exist, but" in text


def test_a_file_listed_twice_is_refused_with_both_lines(load):
    with pytest.raises(
        ImageSetError, match=r"line 4: a file must be listed once, but '.*cat/1.png' is at .*line 2 too"
    ):
        load("path,label\ncat/1.png,cat\nant/1.png,ant\n./cat/1.png,ant\n")


def test_two_files_of_one_folder_that_differ_in_case_alone_are_refused(load):
    files = ("cat/1.png", "cat/1.PNG", "dog/1.PNG")
    with pytest.raises(
        ImageSetError, match=r"line 3: two files of a folder .* '.*1\.PNG' does from '1\.png' at .*line 2"
    ):
        load("path,label\ncat/1.png,cat\ncat/1.PNG,cat\ndog/1.PNG,cat\n", files=files)


def test_a_class_of_test_that_train_lacks_is_refused_with_its_line(load):
    with pytest.raises(
        ImageSetError, match=r"line 3: a label of test must be a class of train .*, but is 'ants'; known"
    ):
        load("path,label,split\nant/1.png,ant,train\nant/2.png,ants,test\n")


def test_a_listed_class_without_an_image_is_refused(load):
    with pytest.raises(ImageSetError, match="must have a training image, but 1 have none: emu"):
        load("path,label\ncat/1.png,cat\nant/1.png,ant\n", class_names=["ant", "cat", "emu"])


def test_a_missing_table_column_or_row_is_refused(load, tmp_path):
    with pytest.raises(ImageSetError, match=r"table of 'x' must be a file, but .*none\.csv is not one"):
        load_csv(tmp_path / "none.csv", name="x")
    with pytest.raises(ImageSetError, match=r"line 1, must have one column 'label', but its columns are .*'labels'\?"):
        load("path,labels\ncat/1.png,cat\n")
    with pytest.raises(ImageSetError, match=r"must hold images of train, but holds no image at all"):
        load("path,label\n")
    with pytest.raises(ImageSetError, match=r"must be a CSV or TSV file in UTF-8"):
        load("path,label\ncat/1.png,kätzchen\n", encoding="latin-1")


def test_a_test_split_is_made_where_none_is_brought(load):
    text = "path,label\n" + "".join(f"{file},{file[:3]}\n" for file in FILES)
    made = load(text, test_fraction=0.5, seed=3)
    assert [made.num_images(split) for split in ("train", "test")] == [2, 2]
    assert sorted(_rows(made) + _rows(made, "test")) == sorted((file, file[:3]) for file in FILES)
    assert sorted(name for _, name in _rows(made, "test")) == ["ant", "cat"]


def test_a_moved_folder_keeps_its_fingerprint_and_a_changed_picture_does_not(load, tmp_path, png):
    made = load("path,label\ncat/1.png,cat\nant/1.png,ant\n")
    shutil.move(tmp_path / "data", tmp_path / "moved")
    moved = load_csv(tmp_path / "moved/labels.csv", name="animals")
    assert moved.fingerprints == made.fingerprints
    (tmp_path / "moved/cat/1.png").write_bytes(png(99))
    assert load_csv(tmp_path / "moved/labels.csv", name="animals").fingerprints != made.fingerprints


GROUPED = "path,label,patient\ncat/1.png,cat,p1\ncat/2.png,cat, 7 \nant/1.png,ant,p1\nant/2.png,ant,7\n"


def test_a_column_of_groups_is_kept_and_no_group_is_parted(load):
    made = load(GROUPED, group_column="patient")
    assert made.splits["train"]["group"].to_pylist() == ["p1", "7", "p1", "7"]
    assert "group" not in load(GROUPED).splits["train"].column_names
    for seed in range(5):
        halves = load(GROUPED, group_column="patient", test_fraction=0.5, seed=seed).splits
        assert [len(set(halves[split]["group"].to_pylist())) for split in ("train", "test")] == [1, 1]


def test_a_missing_column_of_groups_and_an_empty_cell_in_it_are_refused(load):
    with pytest.raises(
        ImageSetError, match=r"line 1, must have one column 'patients', .* name one of these, or add it\..* 'patient'\?"
    ):
        load(GROUPED, group_column="patients")
    with pytest.raises(
        ImageSetError, match=r"labels.csv, line 3: a group must be a name or an integer, but is ''; fill"
    ):
        load(GROUPED.replace(" 7 ", ""), group_column="patient")


def test_quotes_after_a_space_are_no_part_of_a_label(load):
    made = load('path, label\ncat/1.png, "cat"\ncat/2.png, cat\nant/1.png, "ant"\n')
    assert made.class_names == ("ant", "cat")


@pytest.mark.parametrize("word", ["#N/A", "?", "#REF!", "-nan"])
def test_what_spreadsheets_write_for_a_missing_label_is_no_class(load, word):
    text = f"path,label\ncat/1.png,cat\nant/1.png,{word}\n"
    with pytest.raises(ImageSetError, match=r"line 3: a label must be .* often means that there is no label"):
        load(text)
    assert word in load(text, missing_values=[]).class_names
