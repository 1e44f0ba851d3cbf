"""Load an image set from its settings, with all the splits that its side of a study needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pretrieve.artifacts.keys import content_key
from pretrieve.data.folder_tree import load_folder_tree
from pretrieve.data.forms.csv_table import load_csv
from pretrieve.data.forms.parquet_tables import load_parquet
from pretrieve.data.image_set import ImageSet, image_set_of_tables
from pretrieve.data.image_table import SCHEMA, take_rows
from pretrieve.data.imagenet import load_imagenet
from pretrieve.data.published.catalogue import find_published
from pretrieve.data.regimes import Regime, apply_regime
from pretrieve.data.registry import find_image_set
from pretrieve.data.repeats import draw_splits
from pretrieve.data.settings import LABEL_RULES, ColumnSettings, ImageSetSettings
from pretrieve.errors import ImageSetError


def load_source(settings: ImageSetSettings | None, *, seed: int, cache: Path) -> ImageSet:
    """Load the pre-training side of a study; sets that are made once are stored in `cache`.

    That of a study without a source is an image set without a name, classes and images.

    The seed draws the part of each class that a regime's `fraction` keeps. A set that cannot be read (see
    `load_folder_tree` and `find_image_set`) or has another regime raises an ImageSetError.
    """
    if settings is None:
        return image_set_of_tables("", (), {"train": SCHEMA.empty_table()}, "top1")
    loaded = load_whole(settings, seed=seed, cache=cache)
    regime = settings.regime
    if not regime.restricts:
        return loaded
    if regime.fraction is None:
        raise ImageSetError(
            f"the regime of the source {loaded.name!r} must be a fraction, but is '{regime.describe()}': few-shot and "
            "long tails make the labels of a target scarce; give the regime to the targets"
        )
    train = {"train": loaded.splits["train"]}
    cut = apply_regime(train, regime, seed=seed, set_name=loaded.name, class_names=loaded.class_names)
    fingerprints = {**loaded.fingerprints, **_cut_fingerprints(loaded.fingerprints, ("train",), regime, seed)}
    return replace(loaded, splits={**loaded.splits, **cut}, fingerprints=fingerprints)


def load_target(settings: ImageSetSettings, *, seed: int, cache: Path) -> ImageSet:
    """Load a target with its three splits.

    Missing splits are held out of train, first test, then val; the regime cuts train and val, and with `test: undrawn`
    what it leaves out is tested.

    Raises:
      ImageSetError: it cannot be read, has no test split and neither `test_fraction` nor `test: undrawn` makes one, or
        is too small to split or for its regime.
    """
    whole = load_whole(settings, seed=seed, cache=cache)
    rows = draw_splits(whole, settings, seed=seed)
    drawn = {split: take_rows(whole.splits, rows[split]) for split in rows}
    fingerprints = _drawn_fingerprints(whole, settings, seed)
    return replace(whole, splits={**whole.splits, **drawn}, fingerprints=fingerprints)


def _drawn_fingerprints(whole: ImageSet, settings: ImageSetSettings, seed: int) -> dict[str, str]:
    fingerprints, regime = dict(whole.fingerprints), settings.regime
    if "test" not in whole.splits and settings.test_fraction is not None:
        fingerprints |= _split_fingerprints(fingerprints["train"], "test", settings.test_fraction, seed)
    if "val" not in whole.splits:
        fingerprints |= _split_fingerprints(fingerprints["train"], "val", settings.val_fraction, seed)
    if regime.restricts:
        fingerprints |= _cut_fingerprints(fingerprints, ("train", "val"), regime, seed)
        if settings.test == "undrawn":
            fingerprints["test"] = f"undrawn/{content_key(kind='undrawn', of=fingerprints)}"
    return fingerprints


def _split_fingerprints(train: str, made: str, fraction: float | None, seed: int) -> dict[str, str]:
    kept = f"{train}/{made}{fraction}/seed{seed}"
    return {"train": kept, made: f"{kept}/held-out"}


def _cut_fingerprints(
    fingerprints: Mapping[str, str], splits: tuple[str, ...], regime: Regime, seed: int
) -> dict[str, str]:
    # The number of images kept of train depends on val and the other way round, so both fingerprints count in both.
    whole = [fingerprints[split] for split in splits]
    cut = content_key(kind="regime", whole=whole, regime=regime.model_dump(), seed=seed)
    return {split: f"{fingerprints[split]}/{regime.describe()}/{cut}" for split in splits}


def load_whole(settings: ImageSetSettings, *, seed: int, cache: Path) -> ImageSet:
    """Load an image set with the splits that it has, before any is held out or cut by a regime.

    The seed counts only where the protocol of a published set draws its split. Sets that are made once are stored in
    `cache`. A set that cannot be read (see `load_folder_tree` and `find_image_set`) raises an ImageSetError.
    """
    name, columns = settings.display_name, settings.columns or ColumnSettings()
    columns_beside: Any = {
        "label_column": columns.label,
        "split_column": columns.split,
        "group_column": columns.group,
        "root": columns.root,
        **{rule: getattr(settings, rule) for rule in LABEL_RULES},
    }
    if settings.published is not None and settings.folder is not None:
        loaded = find_published(settings.published).load(settings.folder, name=name, seed=seed)
    elif settings.folder is not None:
        loaded = load_folder_tree(settings.folder, name=name, splits=settings.splits, subfolders=settings.subfolders)
    elif settings.csv is not None:
        loaded = load_csv(settings.csv, name=name, image_column=columns.image or "path", **columns_beside)
    elif settings.parquet is not None:
        image_column = columns.image or "image"
        loaded = load_parquet(
            settings.parquet, name=name, image_column=image_column, config=settings.config, **columns_beside
        )
    elif settings.imagenet is not None:
        loaded = load_imagenet(settings.imagenet, name=name)
    else:
        loaded = find_image_set(str(settings.registered), cache=cache)
    metric, *further = settings.metric or (loaded.metric, *loaded.further_metrics)
    return replace(loaded, name=name, metric=metric, further_metrics=tuple(further))
