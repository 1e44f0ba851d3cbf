"""Targets as a repeat or a fold of it has them: rows of the whole set, whose images and features are stored once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pretrieve.artifacts.keys import content_key
from pretrieve.data.folds import make_folds
from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import groups_of, labels_of, pool_splits, take_rows
from pretrieve.data.repeats import draw_repeat, draw_splits, redraws_official_test
from pretrieve.data.settings import ImageSetSettings
from pretrieve.data.split_words import SPLITS


def drawn_set(
    whole: ImageSet, settings: ImageSetSettings, *, repeat: int, seed: int, has_folds: bool
) -> tuple[ImageSet, str]:
    """Draw the splits of a repeat: train and test where folds divide train, else train, val and test.

    Args:
      whole: as `load_whole` reads it.
      settings: those of the target.
      repeat: its number, from 0.
      seed: that of the study.
      has_folds: whether folds divide the labelled images, so that no val is held out.

    Returns:
      The set, and a sentence that says what repeats draw anew.

    Raises:
      ImageSetError: the set is too small to split or for its regime.
    """
    draw = draw_repeat(whole, settings, repeat=repeat, seed=seed)
    rows = {"train": draw.labelled, "test": draw.test}
    if not has_folds:
        rows = draw_splits(whole, settings, seed=seed, repeat=repeat)
    return _of_rows(_pooled(whole, joins_test=redraws_official_test(settings)), rows), draw.describe()


def folds_of(drawn: ImageSet, num_folds: int, seed: int) -> tuple[list[ImageSet], tuple[str, ...]]:
    """Divide the training images of a drawn set into folds.

    Returns:
      For each fold a set whose train split has the images of the other folds, and val those of the fold; and sentences
      on classes that not every fold holds out.

    Raises:
      ImageSetError: as for `make_folds`.
    """
    labelled, whole = drawn.splits["train"], drawn.whole
    folds = make_folds(
        labels_of(labelled),
        names=labelled["path"].to_pylist(),
        groups=groups_of(labelled),
        num_folds=num_folds,
        seed=seed,
        set_name=drawn.name,
    )
    rows = drawn.rows["train"]
    sets = [
        _of_rows(whole, drawn.rows | {"train": rows[folds.numbers != fold], "val": rows[folds.numbers == fold]})
        for fold in range(num_folds)
    ]
    return sets, folds.notices


def _pooled(whole: ImageSet, *, joins_test: bool) -> ImageSet:
    """Join train and val, and test if a repeat may train on it: rows of splits then count as in the set's pool."""
    joined = SPLITS if joins_test else ("train", "val")
    labelled = {split: whole.splits[split] for split in joined if split in whole.splits}
    own = [whole.fingerprints[split] for split in labelled]
    train = own[0] if len(own) == 1 else content_key(kind="labelled", splits=own)
    test = {split: each for split, each in whole.splits.items() if split == "test" and not joins_test}
    fingerprints = {"train": train, **{split: whole.fingerprints[split] for split in test}}
    return replace(whole, splits={"train": pool_splits(labelled), **test}, fingerprints=fingerprints)


def _of_rows(whole: ImageSet, rows: dict[str, NDArray[np.int64]]) -> ImageSet:
    of = dict(whole.fingerprints)
    return replace(
        whole,
        splits={split: take_rows(whole.splits, each) for split, each in rows.items()},
        fingerprints={split: content_key(kind="rows", of=of, rows=each.tolist()) for split, each in rows.items()},
        drawn_from=whole,
        rows=rows,
    )
