"""Image sets listed in a CSV or TSV file: one image a line, its path, its label and perhaps its split."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pretrieve.data.forms.assembly import WantedSet, assemble_image_set
from pretrieve.data.forms.given_labels import ClassNames
from pretrieve.data.forms.given_rows import GivenRows
from pretrieve.data.forms.split_words import read_split
from pretrieve.data.image_set import ImageSet, Metric
from pretrieve.errors import ImageSetError, nearest_word

_DELIMITERS = (",", "\t", ";")


def load_csv(
    path: str | Path,
    *,
    name: str,
    image_column: str = "path",
    label_column: str = "label",
    split_column: str | None = "split",
    root: str | Path | None = None,
    class_names: ClassNames | None = None,
    metric: Metric = "top1",
    test_fraction: float | None = None,
    seed: int = 0,
) -> ImageSet:
    """Read an image set from a table of paths and labels; the images stay where they are.

    Args:
      path: a UTF-8 text file with a header line; commas, tabs or semicolons part its cells. Space around a cell is none
        of its text.
      name: the set's name.
      image_column: the header of the images' paths.
      label_column: the header of the labels: class names, or integers from 0 without gaps.
      split_column: the header of train, val or test; without such a column all images are train.
      root: the folder that relative paths start from; None means the table's own.
      class_names: names in the order of integer labels, or a mapping from each label to its name, which may have gaps;
        None takes the names that are there, sorted.
      metric: how a target is scored.
      test_fraction: share of each class of train held out as test where the table has no test split.
      seed: decides which images are.

    Returns:
      ImageSet whose rows are in the order of the table.

    Raises:
      ImageSetError: the table or a column is missing, or lines are at fault: all are counted, the first five shown.
    """
    table = Path(path).expanduser().absolute()
    folder = Path(root).expanduser().absolute() if root is not None else table.parent
    if not table.is_file():
        raise ImageSetError(f"the table of {name!r} must be a file, but {table} is none; check the path")
    rows = GivenRows(f"{table} of {name!r}", lambda line: f"{table.name}, line {line}")
    for row in _read_cells(table, _Columns(image_column, label_column, split_column), rows):
        image, label, split = row.cells
        if not image:
            rows.faults.add(rows.where(row.line), "an image's path must be given, but its cell is empty; fill it in")
            continue
        try:
            word = "train" if split is None else read_split(split)
        except ImageSetError as error:
            rows.faults.add(rows.where(row.line), error)
            continue
        file = os.path.normpath(folder / image)
        rows.add(word, path=file, content=None, label=label, place=row.line)
    wanted = WantedSet(name, class_names, metric, test_fraction, seed, labels_are_text=True)
    return assemble_image_set(rows, wanted)


@dataclass(frozen=True)
class _Columns:
    image: str
    label: str
    split: str | None

    def positions(self, header: Sequence[str], table: Path) -> tuple[int, int, int | None]:
        split = self.split if self.split in header or self.split not in (None, "split") else None
        wanted = [self.image, self.label, *([split] if split else [])]
        for column in wanted:
            if header.count(column) != 1:
                found = "is there more than once" if column in header else "is not there"
                raise ImageSetError(
                    f"{table}, line 1, must have a column {column!r}, but it {found}; its columns are "
                    f"{', '.join(header)}.{nearest_word(column, header)}"
                )
        return header.index(self.image), header.index(self.label), header.index(split) if split else None


@dataclass(frozen=True)
class _Row:
    line: int
    cells: tuple[str, str, str | None]


def _read_cells(table: Path, columns: _Columns, rows: GivenRows) -> Iterator[_Row]:
    try:
        # The mark that Excel puts before UTF-8 text is no part of the first header.
        with table.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=_delimiter(first, columns.image), strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            image, label, split = columns.positions(header, table)
            for cells in reader:
                if len(cells) == len(header):
                    words = [cell.strip() for cell in cells]
                    yield _Row(reader.line_num, (words[image], words[label], None if split is None else words[split]))
                elif cells:
                    rows.faults.add(
                        rows.where(reader.line_num),
                        f"a line must have {len(header)} cells as the header has, but has {len(cells)}: {cells[:5]!r}; "
                        "put text that holds the delimiter into double quotes",
                    )
    except (UnicodeDecodeError, csv.Error) as error:
        raise ImageSetError(f"{table} must be a CSV or TSV file in UTF-8, but: {error}; save it as that") from error


def _delimiter(header: str, image_column: str) -> str:
    for delimiter in _DELIMITERS:
        cells = [cell.strip().strip('"') for cell in header.split(delimiter)]
        if len(cells) > 1 and image_column in cells:
            return delimiter
    return next((delimiter for delimiter in _DELIMITERS if delimiter in header), ",")
