"""Image sets listed in a CSV or TSV file: one image a line, its path, its label and perhaps its split."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from pretrieve.data.forms.given_labels import ClassNames, Label, LabelRules
from pretrieve.data.forms.rows import GivenRows, check_columns, read_group
from pretrieve.data.image_set import ImageSet
from pretrieve.data.split_words import read_split
from pretrieve.errors import ImageSetError

_DELIMITERS = (",", "\t", ";")


def load_csv(
    path: str | Path,
    *,
    name: str,
    image_column: str = "path",
    label_column: str = "label",
    split_column: str | None = "split",
    group_column: str | None = None,
    root: str | Path | None = None,
    class_names: ClassNames | None = None,
    no_label: Label | Sequence[Label] = (),
    missing_values: Sequence[str] | None = None,
    normalise_labels: bool = False,
    metric: str = "top1",
    test_fraction: float | None = None,
    seed: int = 0,
) -> ImageSet:
    """Read an image set from a table of paths and labels, in its order; the images stay where they are.

    Args:
      path: a UTF-8 text file with a header line; commas, tabs or semicolons part its cells. Space around a cell is not
        part of its text.
      name: the set's name.
      image_column: the header of the images' paths.
      label_column: the header of the labels: class names, or integers from 0 without gaps.
      split_column: the header of train, val or test; without such a column all images are train.
      group_column: the header of the names of groups, such as patients or clips; a split never parts the images of one.
      root: the folder that relative paths start from; None means the table's own.
      class_names: names in the order of integer labels, or a mapping from each label to its name, which may have gaps;
        None takes the names that are there, sorted.
      no_label: a label, or labels, that mean that there is none; such rows are left out.
      missing_values: words for a forgotten label, which is an error; see `LabelRules`.
      normalise_labels: whether names that differ in case, spaces or Unicode form alone are one class.
      metric: how a target is scored.
      test_fraction: share of each class of train held out as test where the table has no test split.
      seed: decides which images are held out.

    Raises:
      ImageSetError: the table or a column is missing, or lines are at fault: all are counted, the first five shown.
    """
    table = Path(path).expanduser().absolute()
    folder = Path(root).expanduser().absolute() if root is not None else table.parent
    if not table.is_file():
        raise ImageSetError(f"the table of {name!r} must be a file, but {table} is not one; check the path")
    rules = LabelRules(no_label, missing_values, normalise_labels)
    rows = GivenRows(f"{table} of {name!r}")
    lines: list[int] = []
    rows.begin(lambda row: f"{table.name}, line {lines[row]}")
    try:
        # "utf-8-sig" drops the mark that Excel puts before the text.
        with table.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter_of(first, image_column), strict=True, skipinitialspace=True)
            header = [cell.strip() for cell in next(reader, [])]
            split = split_column if split_column != "split" or "split" in header else None
            columns = (image_column, label_column, split or None, group_column)
            check_columns(f"{table}, line 1,", header, columns)
            for cells in filter(None, reader):
                lines.append(reader.line_num)
                with rows.row():
                    _add_line(rows, header, [cell.strip() for cell in cells], columns, folder)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ImageSetError(f"{table} must be a CSV or TSV file in UTF-8, but: {error}; save it as that") from error
    return rows.to_image_set(name, class_names, metric, test_fraction, seed, labels_are_text=True, rules=rules)


def _add_line(
    rows: GivenRows, header: list[str], cells: list[str], columns: tuple[str, str, str | None, str | None], folder: Path
) -> None:
    if len(cells) != len(header):
        raise ImageSetError(
            f"a line must have {len(header)} cells as the header has, but has {len(cells)}: {cells[:5]!r}; "
            "put text that holds the delimiter into double quotes"
        )
    cell_of = dict(zip(header, cells, strict=True))
    image, label, split, group = columns
    if not cell_of[image]:
        raise ImageSetError("an image's path must be given, but its cell is empty; fill it in")
    word = "train" if split is None else read_split(cell_of[split])
    group_name = None if group is None else read_group(cell_of[group])
    rows.add(word, cell_of[label], path=os.path.normpath(folder / cell_of[image]), group=group_name)


def delimiter_of(header: str, image_column: str = "") -> str:
    """Return what parts the cells of a header: what makes a cell of `image_column`, else the first that it has."""
    for delimiter in _DELIMITERS:
        cells = [cell.strip().strip('"') for cell in header.split(delimiter)]
        if len(cells) > 1 and image_column in cells:
            return delimiter
    return next((delimiter for delimiter in _DELIMITERS if delimiter in header), ",")
