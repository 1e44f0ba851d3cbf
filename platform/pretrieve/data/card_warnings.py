"""Warnings, as sentences, that a user must know before trusting a score on a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pretrieve.data.dataset_card import DatasetCard

MAX_IMBALANCE = 10
NAMES_SHOWN = 5
SPLIT_WORDS = {"train": "training", "val": "validation", "test": "test"}


def warnings_of(card: DatasetCard) -> Iterator[str]:
    """Yield the warnings, those that spoil a score first."""
    yield from _of_sample(card)
    yield from _of_copies(card)
    yield from _of_broken(card)
    yield from _of_classes(card)
    yield from _of_pixels(card)
    yield from _of_files(card)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return the number with its noun.

    >>> counted(1, "image"), counted(1200, "image"), counted(2, "class", "classes")
    ('1 image', '1,200 images', '2 classes')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _word_of(split: str) -> str:
    return SPLIT_WORDS.get(split, split)


def _first_of(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN:,} more"


def _of_sample(card: DatasetCard) -> Iterator[str]:
    if card.num_scanned < card.num_images:
        yield (
            f"only {card.num_scanned:,} of {card.num_images:,} images were read (seed {card.seed}): there may be more "
            "broken ones and more copies than this card names"
        )


def _of_copies(card: DatasetCard) -> Iterator[str]:
    for pair, count in card.copies_across.items():
        first, second = pair.split("/")
        if count.exact:
            single, several = f"an exact copy of a {_word_of(first)} image", f"exact copies of {_word_of(first)} images"
            copies = single if count.exact == 1 else several
            yield f"{counted(count.exact, f'{_word_of(second)} image')} {_is(count.exact)} {copies}"
        if count.same_pixels:
            more = "further " if count.exact else ""
            images = counted(count.same_pixels, f"{more}{_word_of(second)} image")
            yield f"{images} {_has(count.same_pixels)} the pixels of {_word_of(first)} images, in other files"
    confused = [group for group in card.copies if group.has_two_labels]
    if confused:
        one, *others = confused[0].images
        other = next(image for image in others if image.class_name != one.class_name)
        yield (
            f"{counted(len(confused), 'picture')} {_is(len(confused))} listed under two classes, the first as "
            f"{one.class_name!r} ({one.path}) and {other.class_name!r} ({other.path})"
        )
    for split, count in card.copies_within.items():
        copies = "a copy of another" if count.total == 1 else "copies of others"
        yield f"{counted(count.total, f'{_word_of(split)} image')} {_is(count.total)} {copies} of the same split"


def _of_broken(card: DatasetCard) -> Iterator[str]:
    for split in card.counts:
        broken = [image for image in card.broken if image.split == split]
        if broken:
            consequence = ", and a score counts the others alone" if split in ("val", "test") else ""
            yield (
                f"{counted(len(broken), f'{_word_of(split)} image')} will be left out{consequence}: the first is "
                f"{broken[0].path}: {broken[0].reason}"
            )


def _of_classes(card: DatasetCard) -> Iterator[str]:
    if len(card.class_names) == 1:
        yield f"there is 1 class alone, {card.class_names[0]!r}: nothing to tell apart; is it the right folder?"
    for split, counts in card.counts.items():
        word = _word_of(split)
        absent = [name for name, count in zip(card.class_names, counts, strict=True) if count == 0]
        if absent:
            classes = counted(len(absent), "class", "classes")
            yield f"{classes} {_has(len(absent))} no {word} image, and a score leaves them out: {_first_of(absent)}"
        single = [name for name, count in zip(card.class_names, counts, strict=True) if count == 1]
        if split == "train":
            yield from (f"class {name!r} has 1 training image" for name in single[:NAMES_SHOWN])
        if split == "train" and len(single) > NAMES_SHOWN:
            yield f"{len(single) - NAMES_SHOWN:,} more classes have 1 training image each"
        if card.imbalance[split] > MAX_IMBALANCE:
            yield (
                f"the largest class has {card.imbalance[split]:.1f} times as many {word} images as the smallest; "
                f"think of the metric mean_per_class (it is {card.metric})"
            )


def _of_pixels(card: DatasetCard) -> Iterator[str]:
    if number := len(card.grey_ends):
        yield (
            f"the last rows of {counted(number, 'JPEG image')} are the plain grey of missing data, as of a truncated "
            f"file: the first is {card.grey_ends[0].path}"
        )
    if number := len(card.tiny):
        yield f"{counted(number, 'image')} {_has(number)} a side below 8 pixels: the first is {card.tiny[0].path}"
    if number := card.num_animated:
        yield f"of {counted(number, 'animated or many-paged image')} the first frame alone is used"
    if number := card.num_turned:
        yield (
            f"{counted(number, 'image')} {_has(number)} an EXIF orientation that is left aside, as torchvision does: a "
            "network sees them lie on their side; turn their pixels to have them upright"
        )
    if number := card.modes.get("CMYK", 0):
        yield f"{counted(number, 'CMYK image')} {_is(number)} turned into RGB without a colour profile"
    if number := sum(count for mode, count in card.modes.items() if mode.endswith("16-bit")):
        yield f"of {counted(number, '16-bit image')} the upper 8 bits alone are used: a dark picture stays dark"


def _of_files(card: DatasetCard) -> Iterator[str]:
    if number := len(card.wrong_suffixes):
        yield (
            f"{counted(number, 'image')} {_has(number)} the suffix of another format, and decode by their content: the "
            f"first is {card.wrong_suffixes[0].path}"
        )
    if card.alike_paths:
        yield (
            f"names of {counted(len(card.alike_paths), 'group')} of files differ in case alone, and a disk of another "
            f"system keeps one of each: {_first_of([Path(path).name for path in card.alike_paths[0]])}"
        )
    if number := len(card.passed_over):
        yield (
            f"{counted(number, 'file')} in the folder {_is(number)} in no split, for "
            f"want of an image's suffix or a class: {_first_of(card.passed_over)}"
        )


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _has(number: int) -> str:
    return "has" if number == 1 else "have"
