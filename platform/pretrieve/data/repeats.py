"""Repeats: draw the labelled images and the test images of a target anew, as another user would have drawn them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pretrieve.artifacts.keys import derived_seed
from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import groups_of, labels_of, pool_splits, rows_of_splits
from pretrieve.data.published.catalogue import find_published
from pretrieve.data.regimes import draw_regime
from pretrieve.data.settings import ImageSetSettings
from pretrieve.data.splits import HoldOutSettings, draw_held_out, draw_per_class
from pretrieve.errors import ImageSetError

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RepeatDraw:
    """The images of one repeat, as rows of the target's pool (`image_table.pool_splits`), ascending, (N,) int64.

    Attributes:
      labelled: what a network may learn from; folds divide it.
      test: disjoint from `labelled`; no group has images in both, unless the set's own splits part it.
      redraws_labelled: whether another repeat draws other labelled images.
      redraws_test: whether another repeat draws other test images.
      num_available: the images that the labelled ones are drawn of.
      set_name: the target's name.
    """

    labelled: Rows
    test: Rows
    redraws_labelled: bool
    redraws_test: bool
    num_available: int
    set_name: str

    def describe(self) -> str:
        """Say in one sentence what repeats draw anew, with the numbers of images."""
        drawn, tested = self.labelled.size, f"{self.test.size:,} test images"
        of_all = f" of {self.num_available:,}" if drawn < self.num_available else ""
        labelled = f"{drawn:,}{of_all} labelled images"
        if self.redraws_test:
            return f"Each repeat of {self.set_name!r} draws {labelled} and {tested} anew."
        if self.redraws_labelled:
            return f"Each repeat of {self.set_name!r} draws {labelled} anew; the {tested} of its own split stay."
        return (
            f"All repeats of {self.set_name!r} have the same {labelled} and {tested}: the test split is its own, and "
            "no regime leaves out images."
        )


def draw_repeat(whole: ImageSet, settings: ImageSetSettings, *, repeat: int, seed: int) -> RepeatDraw:
    """Draw the labelled images and the test images of a repeat.

    Repeat 0 has those of a study without repeats: train and val of `load_target` are its labelled images. Other repeats
    draw in the same way, with a seed that is derived from `seed` and `repeat`. What a set brings stays: its test split,
    unless its protocol draws it (Caltech-101) or `test` is `undrawn`, and, where no regime cuts them, its images of
    train and val. In one repeat, draws of larger fractions or numbers of images contain those of smaller ones.

    Args:
      whole: the target as `load_whole` reads it with the same settings and `seed`.
      settings: its test_fraction, val_fraction, regime and test decide the draw.
      repeat: ≥ 0.
      seed: that of the study.

    Raises:
      ImageSetError: there is no image to test on, or a class is too small to be held out of or for its regime.
    """
    draw = _Draw(whole, settings, derived_seed(seed, "repeat", repeat) if repeat else seed)
    if repeat:
        draw.split_as_published()
    draw.hold_out_test()
    if settings.regime.restricts:
        # Without a regime, train and val are labelled, however they are divided, and a class may have a single image.
        draw.hold_out_val()
    num_available = draw.labelled.size
    draw.apply_regime()
    labelled, test = draw.labelled, np.sort(draw.rows["test"])
    is_cut = labelled.size < num_available
    return RepeatDraw(
        labelled,
        test,
        redraws_labelled=is_cut or draw.draws_test_split,
        redraws_test=draw.draws_test_split or (is_cut and settings.test == "undrawn"),
        num_available=num_available,
        set_name=whole.name,
    )


def draw_splits(whole: ImageSet, settings: ImageSetSettings, *, seed: int, repeat: int = 0) -> dict[str, Rows]:
    """Draw train, val and test of a repeat without folds; return their rows of the pool, ascending, (N,) int64.

    The arguments, and what raises an ImageSetError, are as in `draw_repeat`; each class also needs an image for val.
    """
    draw = _Draw(whole, settings, derived_seed(seed, "repeat", repeat) if repeat else seed)
    if repeat:
        draw.split_as_published()
    draw.hold_out_test()
    draw.hold_out_val()
    draw.apply_regime()
    return {split: np.sort(rows) for split, rows in draw.rows.items()}


def redraws_official_test(settings: ImageSetSettings) -> bool:
    """Return whether the publisher's protocol draws train and test, so that another repeat trains on test images."""
    return settings.published is not None and find_published(settings.published).training_images_per_class is not None


def join_draws(draws: Sequence[RepeatDraw]) -> Rows:
    """Return the rows of the pool that any of the repeats needs, ascending, (N,) int64, so that each is made once."""
    return np.unique(np.concatenate([rows for draw in draws for rows in (draw.labelled, draw.test)]))


class _Draw:
    """Rows of the pool in splits, while they are drawn; a set's own splits to begin with.

    Draws depend on the order of rows: it is that of the set, which is why the rows of a split stay as they are.
    """

    def __init__(self, whole: ImageSet, settings: ImageSetSettings, seed: int) -> None:
        self._whole, self._settings, self._seed = whole, settings, seed
        self._pool = pool_splits(whole.splits)
        self._labels, self._groups = labels_of(self._pool), groups_of(self._pool)
        self.rows = rows_of_splits(whole.splits)
        published = None if settings.published is None else find_published(settings.published)
        self._per_class = None if published is None else published.training_images_per_class
        self.draws_test_split = self._per_class is not None or "test" not in self.rows

    @property
    def labelled(self) -> Rows:
        """Return the rows of train and val, ascending."""
        return np.sort(np.concatenate([self.rows[split] for split in ("train", "val") if split in self.rows]))

    def split_as_published(self) -> None:
        """Draw train and test anew where the publisher's protocol draws them."""
        if self._per_class is not None:
            self.rows["train"], self.rows["test"] = draw_per_class(
                self._pool,
                images_per_class=self._per_class,
                seed=self._seed,
                set_name=self._whole.name,
                class_names=self._whole.class_names,
            )

    def hold_out_test(self) -> None:
        if "test" in self.rows:
            return
        fraction = self._settings.test_fraction
        if fraction is not None:
            self._hold_out("test", fraction, derived_seed(self._seed, "with_test"))
        elif self._settings.test != "undrawn" or not self._settings.regime.restricts:
            raise ImageSetError(
                f"target {self._whole.name!r} must have a test split, but has {sorted(self._whole.splits)}; add one, "
                "such as a folder test/<class>/, or have a part of train held out: test_fraction: 0.2"
            )

    def hold_out_val(self) -> None:
        if "val" not in self.rows:
            self._hold_out("val", self._settings.val_fraction, self._seed)

    def _hold_out(self, split: Literal["val", "test"], fraction: float, seed: int) -> None:
        train = self.rows["train"]
        groups = None if self._groups is None else self._groups[train]
        settings = HoldOutSettings(fraction, seed, split, self._whole.name, self._whole.class_names)
        held = draw_held_out(self._labels[train], groups, settings)
        self.rows["train"], self.rows[split] = train[~held], train[held]

    def apply_regime(self) -> None:
        """Cut train and val to the labels that the regime allows, and test on the others if that is asked for."""
        if not self._settings.regime.restricts:
            return
        kept = draw_regime(
            {split: self._labels[rows] for split, rows in self.rows.items() if split != "test"},
            self._settings.regime,
            seed=self._seed,
            set_name=self._whole.name,
            class_names=self._whole.class_names,
        )
        self.rows |= {split: self.rows[split][is_kept] for split, is_kept in kept.items()}
        if self._settings.test == "undrawn":
            self.rows["test"] = self._undrawn()

    def _undrawn(self) -> Rows:
        is_drawn = np.zeros(self._pool.num_rows, dtype=bool)
        is_drawn[self.labelled] = True
        if self._groups is not None:
            # A picture of a patient that is learned from is no test for other patients.
            is_drawn = np.isin(self._groups, self._groups[is_drawn])
        rows = np.flatnonzero(~is_drawn)
        if not rows.size:
            beside = "" if self._groups is None else " or shares its group with one that it draws"
            raise ImageSetError(
                f"with test: undrawn a regime must leave out images to test on, but of {self._whole.name!r} "
                f"'{self._settings.regime.describe()}' draws every image{beside}; lower it, or test on a test split"
            )
        return rows
