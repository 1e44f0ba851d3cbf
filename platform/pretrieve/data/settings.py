"""How a study names its source and its targets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pretrieve.data.folder_tree import Subfolders
from pretrieve.data.metric_words import find_metrics
from pretrieve.data.published.catalogue import find_published
from pretrieve.data.regimes import Regime
from pretrieve.errors import UserError
from pretrieve.settings_model import SettingsModel, existing_path

NAME_PATTERN = r"[A-Za-z0-9]([A-Za-z0-9._ -]{0,98}[A-Za-z0-9._-])?"

RESERVED_NAME = "average"

LABEL_RULES = ("class_names", "no_label", "missing_values", "normalise_labels")  # fields that a csv or parquet may have

FOLDER_RULES = ("splits", "subfolders")  # fields that a folder may have

ORIGINS = ("folder", "csv", "parquet", "imagenet", "registered")  # the fields that say where a set comes from


class ColumnSettings(SettingsModel):
    """The names of the columns of a table of images.

    Attributes:
      image: paths, or in Parquet also encoded images; None: `path` in a CSV, `image` in Parquet.
      label: class names or integers.
      split: `train`, `val` or `test` in each row; without that column, file names give the split, or all is train.
      group: patients, specimens or clips, whose images a split or fold never parts; None: each image stands alone.
      root: folder that paths are relative to, itself relative to the study file; None means that of the table.
    """

    image: str | None = None
    label: str = "label"
    split: str = "split"
    group: str | None = None
    root: Path | None = None

    @field_validator("root")
    @classmethod
    def _folder_exists(cls, root: Path | None, info: ValidationInfo) -> Path | None:
        return None if root is None else existing_path(root, info, "folder")


class ImageSetSettings(SettingsModel):
    """One image set of a study; a bare word is short for `registered: word`.

    Attributes:
      folder: a folder tree train/<class>/*, test/<class>/*; or with `published` the folder of its unpacked archives.
      published: one of the paper's targets, in its publisher's layout below `folder`; see `pretrieve targets`.
      csv: a file of paths and labels, separated by commas or tabs.
      parquet: a Parquet or Arrow file, or a folder of them, as Hugging Face publishes data sets.
      imagenet: the ILSVRC folder, a folder of WordNet ids, or ImageNet's Parquet files.
      registered: a registered name or `my_module:my_function`.
      columns: of a `csv` or `parquet`.
      class_names: of a `csv` or `parquet`: names in the order of integer labels from 0, or a mapping from each label to
        its name, such as `{1: ant, 2: bee}`.
      no_label: of a `csv` or `parquet`: a label, or a list of them, that means that there is none, such as -1; rows of
        it are left out.
      missing_values: of a `csv` or `parquet`: the words that are refused as labels that were forgotten; `[]` lets NA be
        a class. Defaults to nan, none, null, na, n/a and <na>.
      normalise_labels: of a `csv` or `parquet`: whether names that differ in case, spaces or Unicode form alone are one
        class; otherwise they are refused.
      splits: of a `folder`: the folder of each split below it, such as `{train: training_set, test: test_set}`;
        `{train: .}` makes all folders classes, also one that is called train.
      subfolders: of a `folder`: what folders within a class folder are: `classes`, named by their path, or `images` of
        the class. Must be given where class folders hold several folders and no image.
      config: of a `parquet`: the folder of one of several configs below it.
      name: what the study calls it; defaults to the folder's, file's, published or registered name.
      metric: `top1`, `mean_per_class`, `macro_f1`, `auroc`, or one of your own as `my_module:MyMetric`; or a list, of
        which the first decides and all are kept. Defaults to the set's own.
      test_fraction: share of each class of train held out for test where the set has no test split.
      val_fraction: share of each class of train, after that, held out where the set has no val split.
      test: `official` tests on the test split, its own or the one held out; `undrawn` on all images, of train and val
        too, that the regime does not draw.
      regime: how many labels each class keeps; a source may only have a `fraction`.
    """

    folder: Path | None = None
    published: str | None = None
    csv: Path | None = None
    parquet: Path | None = None
    imagenet: Path | None = None
    registered: str | None = None
    columns: ColumnSettings | None = None
    class_names: dict[int | str, str] | tuple[str, ...] | None = None
    no_label: int | str | tuple[int | str, ...] = ()
    missing_values: tuple[str, ...] | None = None
    normalise_labels: bool = False
    splits: Annotated[dict[str, str], Field(min_length=1)] | None = None
    subfolders: Subfolders | None = None
    config: str | None = None
    name: str | None = None
    metric: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test: Literal["official", "undrawn"] = "official"
    regime: Regime = Regime()

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"registered": value} if isinstance(value, str) else value

    @field_validator("folder", "csv", "parquet", "imagenet")
    @classmethod
    def _exists(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        kind: Literal["folder", "file", "file or folder"] = "folder"
        if info.field_name in ("csv", "parquet"):
            kind = "file" if info.field_name == "csv" else "file or folder"
        return None if path is None else existing_path(path, info, kind)

    @field_validator("metric", mode="before")
    @classmethod
    def _from_one_word(cls, metric: Any) -> Any:
        return (metric,) if isinstance(metric, str) else metric

    @field_validator("metric")
    @classmethod
    def _are_known(cls, metric: tuple[str, ...] | None) -> tuple[str, ...] | None:
        find_metrics(metric or ())
        return metric

    @field_validator("published")
    @classmethod
    def _is_published(cls, published: str | None) -> str | None:
        try:
            return None if published is None else find_published(published).name
        except UserError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _has_one_origin(self) -> ImageSetSettings:
        given = [name for name in ORIGINS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none of them"
            raise ValueError(f"exactly one of {', '.join(ORIGINS)} must be given, but {found} is")
        if self.published is not None and self.folder is None:
            raise ValueError(f"'published' must come with the 'folder' of its archives, but {given[0]} is given")
        if self.columns is not None and self.csv is None and self.parquet is None:
            raise ValueError(f"'columns' are of a 'csv' or 'parquet', but {given[0]} is given; leave them out")
        fields = type(self).model_fields
        rules = [
            rule for rule in (*LABEL_RULES, *FOLDER_RULES, "config") if getattr(self, rule) != fields[rule].default
        ]
        is_folder = self.folder is not None and self.published is None
        for rule in rules:
            if rule in LABEL_RULES and self.csv is None and self.parquet is None:
                raise ValueError(f"{rule!r} is of a 'csv' or 'parquet', but {given[0]} is given; leave it out")
            if (rule in FOLDER_RULES and not is_folder) or (rule == "config" and self.parquet is None):
                owner = "parquet" if rule == "config" else "folder"
                raise ValueError(f"{rule!r} is of a {owner!r}, but {self.published or given[0]} is given; leave it out")
        return self

    @model_validator(mode="after")
    def _has_a_usable_name(self) -> ImageSetSettings:
        if not re.fullmatch(NAME_PATTERN, self.display_name):
            raise ValueError(
                "a name must have only letters, digits, spaces and . _ -, at most 100 and no space at an end, because "
                f"folders and models are named after it, but is {self.display_name!r}; give one as 'name'"
            )
        if self.display_name == RESERVED_NAME:
            raise ValueError(
                f"a name must be another than {RESERVED_NAME!r}, the row of a table that is over all targets; give one "
                "as 'name'"
            )
        return self

    @property
    def display_name(self) -> str:
        if self.name is not None:
            return self.name
        if self.published is not None:
            return self.published
        if self.imagenet is not None:
            return "imagenet"
        path = self.folder or self.csv or self.parquet
        if path is None:
            return str(self.registered).rpartition(":")[2]
        return path.name if self.folder is not None or path.is_dir() else path.stem
