"""How a study names its source and its targets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pretrieve.data.folder_tree import load_folder_tree
from pretrieve.data.image_set import ImageSet, Metric
from pretrieve.data.regimes import Regime, apply_regime
from pretrieve.data.registry import find_image_set
from pretrieve.data.splits import with_validation
from pretrieve.errors import ImageSetError
from pretrieve.keys import content_key
from pretrieve.settings_model import SettingsModel, existing_path

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._ -]*"


class ImageSetSettings(SettingsModel):
    """One image set of a study; a bare word is short for `registered: word`.

    Attributes:
      folder: a folder tree train/<class>/*, test/<class>/*; relative to the study file.
      registered: a registered name or `my_module:my_function`.
      name: what the study calls it; defaults to the folder's or the registered name.
      metric: `top1` or `mean_per_class`; defaults to the set's own.
      val_fraction: share of each class of train held out where the set brings no val split.
      regime: how many labels each class has: all, a fraction, so many, or a long tail; a source may have a fraction.
    """

    folder: Path | None = None
    registered: str | None = None
    name: str | None = None
    metric: Metric | None = None
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    regime: Regime = Regime()

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"registered": value} if isinstance(value, str) else value

    @field_validator("folder")
    @classmethod
    def _folder_exists(cls, folder: Path | None, info: ValidationInfo) -> Path | None:
        return None if folder is None else existing_path(folder, info, "folder")

    @model_validator(mode="after")
    def _has_one_origin(self) -> ImageSetSettings:
        if (self.folder is None) == (self.registered is None):
            raise ValueError("exactly one of 'folder' and 'registered' must be given")
        if not re.fullmatch(NAME_PATTERN, self.display_name):
            raise ValueError(
                "a name must be letters, digits, spaces and . _ - alone, as it names folders and registered models, "
                f"but is {self.display_name!r}; give one as 'name'"
            )
        return self

    @property
    def display_name(self) -> str:
        """The name this set has in the study."""
        if self.name is not None:
            return self.name
        if self.folder is not None:
            return self.folder.name
        return str(self.registered).rpartition(":")[2]


def load_source(settings: ImageSetSettings, *, seed: int, cache: Path) -> ImageSet:
    """Load the pre-training side of a study.

    Args:
      settings: the source, of which a regime's `fraction` keeps a part of each class.
      seed: decides which part.
      cache: folder of sets that are written once.

    Raises:
      ImageSetError: it cannot be read, see `load_folder_tree` and `find_image_set`, or has another regime.
    """
    loaded = _load(settings, cache)
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
    return _renamed(loaded, {**loaded.splits, **cut}, fingerprints, settings)


def load_target(settings: ImageSetSettings, *, seed: int, cache: Path) -> ImageSet:
    """Load a target with its three splits; val is made from train where the set has none, then the regime cuts both.

    Raises:
      ImageSetError: it cannot be read, has no test split, or is too small to split or for its regime.
    """
    loaded = _load(settings, cache)
    if "test" not in loaded.splits:
        raise ImageSetError(
            f"target {loaded.name!r} must have a test split, but has {sorted(loaded.splits)}; add test/<class>/ folders"
        )
    splits = with_validation(loaded.splits, fraction=settings.val_fraction, seed=seed, set_name=loaded.name)
    made_val = "val" not in loaded.splits
    # A made split is decided by the train split, the fraction and the seed: they are its fingerprint.
    suffix = f"/val{settings.val_fraction}/seed{seed}" if made_val else ""
    train = loaded.fingerprints["train"] + suffix
    fingerprints = {**loaded.fingerprints, "train": train}
    if made_val:
        fingerprints["val"] = train + "/held-out"
    regime = settings.regime
    if regime.restricts:
        splits = apply_regime(splits, regime, seed=seed, set_name=loaded.name, class_names=loaded.class_names)
        fingerprints |= _cut_fingerprints(fingerprints, ("train", "val"), regime, seed)
    return _renamed(loaded, splits, fingerprints, settings)


def _cut_fingerprints(
    fingerprints: Mapping[str, str], splits: tuple[str, ...], regime: Regime, seed: int
) -> dict[str, str]:
    # How many images of train are kept depends on how many val has, and the other way round: both decide both.
    cut = content_key(
        kind="regime", whole=[fingerprints[split] for split in splits], regime=regime.model_dump(), seed=seed
    )
    return {split: f"{fingerprints[split]}/{regime.describe()}/{cut}" for split in splits}


def _load(settings: ImageSetSettings, cache: Path) -> ImageSet:
    if settings.folder is not None:
        return load_folder_tree(settings.folder, name=settings.display_name, metric=settings.metric or "top1")
    loaded = find_image_set(str(settings.registered), cache=cache)
    return _renamed(loaded, loaded.splits, loaded.fingerprints, settings)


def _renamed(loaded: ImageSet, splits: Any, fingerprints: Any, settings: ImageSetSettings) -> ImageSet:
    return ImageSet(
        name=settings.display_name,
        class_names=loaded.class_names,
        splits=splits,
        fingerprints=fingerprints,
        metric=settings.metric or loaded.metric,
    )
