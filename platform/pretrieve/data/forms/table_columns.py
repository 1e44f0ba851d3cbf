"""Find the columns of a table of images in its schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pretrieve.data.table_file import TableFile
from pretrieve.errors import ImageSetError, nearest_word


@dataclass(frozen=True)
class ImageTableColumns:
    """Which columns hold the images, the labels and the splits; `split` is None where the tables have none.

    Attributes:
      is_struct: images are structs {bytes, path}.
      holds_paths: images are paths alone.
    """

    image: str
    label: str
    split: str | None
    is_struct: bool
    holds_paths: bool


def find_columns(files: Sequence[TableFile], image: str, label: str, split: str | None) -> ImageTableColumns:
    """Find the columns of all tables, and check that each is of one kind; only a column named `split` may be missing.

    Raises:
      ImageSetError: a column is missing, or cannot hold images or labels.
    """
    has_split = split is not None and any(split in file.schema.names for file in files)
    used_split = split if has_split or split != "split" else None
    kinds = set()
    for file in files:
        for column in (image, label, *([used_split] if used_split else [])):
            _check_column(file, column)
        kinds.add(_kind_of_images(file, image))
        _check_labels(file, label)
    if len(kinds) > 1:
        raise ImageSetError(f"column {image!r} must be of one kind in all tables, but is {' and '.join(sorted(kinds))}")
    return ImageTableColumns(image, label, used_split, kinds == {"structs"}, kinds == {"paths"})


def _check_column(file: TableFile, column: str) -> None:
    names = file.schema.names
    if names.count(column) != 1:
        raise ImageSetError(
            f"{file.path} must have one column {column!r}, but its columns are {', '.join(names)}."
            f"{nearest_word(column, names)}"
        )


def _kind_of_images(file: TableFile, column: str) -> str:
    kind = _plain_type(file.schema.field(column).type)
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return "structs"
    if any(test(kind) for test in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)):
        return "bytes"
    if _is_text(kind):
        return "paths"
    raise ImageSetError(
        f"column {column!r} of {file.path} must hold encoded images as bytes or as structs {{bytes, path}}, or paths, "
        f"but holds {kind}; give the images' column as image_column, or encode them"
    )


def _check_labels(file: TableFile, column: str) -> None:
    kind = _plain_type(file.schema.field(column).type)
    if not (pa.types.is_integer(kind) or _is_text(kind)):
        raise ImageSetError(
            f"column {column!r} of {file.path} must hold integers or class names, but holds {kind}; give the labels' "
            "column as label_column, or write it as integers (missing labels make pandas write fractions)"
        )


def _plain_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def class_label_names(files: Sequence[TableFile], column: str) -> list[str] | None:
    """Return the class names that Hugging Face wrote into the tables' metadata; None where there are none.

    Raises:
      ImageSetError: tables disagree.
    """
    found = {file.path: _names_in_metadata(file.schema, column) for file in files}
    first = next(iter(found))
    for path, names in found.items():
        if names != found[first]:
            raise ImageSetError(
                f"class names in the metadata of all tables must be the same, but {path} and {first} differ; load them "
                "apart, or give class_names"
            )
    return found[first]


def _names_in_metadata(schema: pa.Schema, column: str) -> list[str] | None:
    written = (schema.metadata or {}).get(b"huggingface")
    if written is None:
        return None
    try:
        feature = json.loads(written)["info"]["features"][column]
        return list(map(str, feature["names"])) if feature.get("_type") == "ClassLabel" else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # metadata of another version: the labels have no names
