"""The card of a data set as plain text for a terminal and as Markdown for MLflow, and its warnings as sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pretrieve.data.dataset_card import DatasetCard, ListedImage, SizeRange

WIDTH = 120
CLASSES_SHOWN = 30
IMAGES_SHOWN = 10
NAME_WIDTH = 48
MAX_IMBALANCE = 10
NAMES_SHOWN = 5
SPLIT_WORDS = {"train": "training", "val": "validation", "test": "test"}
VERBS_OF_MANY = {"is": "are", "has": "have", "": ""}


def as_text(card: DatasetCard) -> str:
    """Describe a card in lines of at most WIDTH columns."""
    lines = [_clean(f"{card.name}: {_title(card)}")]
    lines += ["", "Warnings", *_bullets(card.warnings)] if card.warnings else ["", "Warnings: none"]
    lines += ["", *_table(_split_rows(card)), "", *_table(_class_rows(card))]
    lines += ["", *(line for name, value in _facts(card) for line in _wrapped(f"{name + ':':<14}{value}", " " * 14))]
    for title, images in _listed_images(card).items():
        lines += ["", title, *_bullets(images)]
    return "\n".join(lines) + "\n"


def as_markdown(card: DatasetCard) -> str:
    """Describe a card in Markdown, of the same content as the text."""
    blocks = [f"# {_escaped(card.name)}", _escaped(_title(card)), "## Warnings"]
    blocks.append("\n".join(f"- {_escaped(line)}" for line in card.warnings) or "none")
    blocks += ["## Splits", _markdown_table(_split_rows(card)), "## Classes", _markdown_table(_class_rows(card))]
    blocks += ["## Images", "\n".join(f"- {name}: {_escaped(value)}" for name, value in _facts(card))]
    for title, images in _listed_images(card).items():
        blocks += [f"## {title}", "\n".join(f"- {_escaped(line)}" for line in images)]
    return "\n\n".join(blocks) + "\n"


def _title(card: DatasetCard) -> str:
    read = "all read" if card.num_scanned == card.num_images else f"a sample of {card.num_scanned:,} read"
    classes = counted(len(card.class_names), "class", "classes")
    return f"{classes}, {counted(card.num_images, 'image')} ({read}), scored by {card.metric}"


def _split_rows(card: DatasetCard) -> list[list[str]]:
    rows = [["split", "images", "classes", "smallest", "largest", "imbalance", "broken"]]
    for split, counts in card.counts.items():
        present = [count for count in counts if count]
        smallest, largest = (f"{min(present):,}", f"{max(present):,}") if present else ("0", "0")
        broken = sum(image.split == split for image in card.broken)
        numbers = [f"{sum(counts):,}", f"{len(present):,}", smallest, largest, f"{card.imbalance[split]:.2f}"]
        rows.append([split, *numbers, f"{broken:,}"])
    return rows


def _class_rows(card: DatasetCard) -> list[list[str]]:
    totals = [sum(each) for each in zip(*card.counts.values(), strict=True)]
    labels: Sequence[int | None] = range(len(totals))
    if len(totals) > CLASSES_SHOWN:
        by_size = sorted(range(len(totals)), key=lambda label: (-totals[label], label))
        half = CLASSES_SHOWN // 2
        labels = [*by_size[:half], None, *by_size[-half:]]
    rows = [["class", *card.counts]]
    for label in labels:
        if label is None:
            rows.append([f"… {len(totals) - CLASSES_SHOWN} more, by size", *("…" for _ in card.counts)])
        else:
            name = textwrap.shorten(_clean(card.class_names[label]), NAME_WIDTH, placeholder="…") or "…"
            rows.append([name[:NAME_WIDTH], *(f"{counts[label]:,}" for counts in card.counts.values())])
    return rows


def _facts(card: DatasetCard) -> Iterator[tuple[str, str]]:
    yield "width", _sides(card.widths)
    yield "height", _sides(card.heights)
    yield "aspect", _counts(card.aspects)
    yield "colour modes", _counts(card.modes)
    yield "formats", _counts(card.file_formats)
    yield "fingerprints", ", ".join(f"{split} {fingerprint}" for split, fingerprint in card.fingerprints.items())
    yield "bytes", f"{card.num_bytes:,} in {counted(card.num_scanned, 'file')}"


def _sides(found: SizeRange | None) -> str:
    return "unknown" if found is None else f"{found.smallest:,} … {found.largest:,} px, median {found.median:,.0f}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def _listed_images(card: DatasetCard) -> dict[str, list[str]]:
    """Return a title and lines for each list of images that is not empty, cut to IMAGES_SHOWN lines."""
    broken = [f"{image.split}, {image.class_name}: {image.path}: {image.reason}" for image in card.broken]
    copies = []
    for group in card.copies:
        kind = "same file" if group.are_exact else "same pixels"
        images = [f"{image.split}, {image.class_name}: {image.path}" for image in group.images]
        copies.append(f"{kind}: " + " = ".join(_shortened(images)))
    return {title: _shortened(lines) for title, lines in (("Broken images", broken), ("Copies", copies)) if lines}


def _shortened(lines: Sequence[str]) -> list[str]:
    number = len(lines) - IMAGES_SHOWN
    more = [f"… and {number:,} more; the card's JSON names all"] if number > 0 else []
    return [*lines[:IMAGES_SHOWN], *more]


def _bullets(lines: Sequence[str]) -> list[str]:
    return [wrapped for line in lines for wrapped in _wrapped(f"- {line}", "  ")]


def _wrapped(line: str, indent: str) -> list[str]:
    return textwrap.wrap(_clean(line), WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [""]


def _clean(text: str) -> str:
    """Write out unprintable letters, such as line ends and escape sequences, which a terminal would obey."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ([_escaped(cell) for cell in row] for row in rows)
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *body))


def _escaped(text: str) -> str:
    """Keep the names of files and classes from being read as Markdown or HTML."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|" else letter for letter in _clean(text))


def warnings_of(card: DatasetCard) -> Iterator[str]:
    """Yield the warnings, those that spoil a score first."""
    if card.num_scanned < card.num_images:
        yield (
            f"only {card.num_scanned:,} of {card.num_images:,} images were read (seed {card.seed}): there may be more "
            "broken ones and more copies than this card names"
        )
    yield from _of_copies(card)
    for split in card.counts:
        consequence = ", and a score counts the others alone" if split in ("val", "test") else ""
        broken = [image for image in card.broken if image.split == split]
        first = f"{broken[0].path}: {broken[0].reason}" if broken else ""
        yield from _sentence(
            len(broken), f"{_word_of(split)} image", "", f"will be left out{consequence}: the first is {first}"
        )
    yield from _of_classes(card)
    yield from _of_pixels_and_files(card)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return the number with its noun.

    >>> counted(1, "image"), counted(1200, "image"), counted(2, "class", "classes")
    ('1 image', '1,200 images', '2 classes')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _sentence(number: int, noun: str, verb: str, rest: str, *, plural: str = "", before: str = "") -> list[str]:
    """Make the sentence "3 images have …" of the verb `has`; none for 0 images."""
    agreeing = verb if number == 1 else VERBS_OF_MANY[verb]
    return [before + " ".join(filter(None, (counted(number, noun, plural), agreeing, rest)))] if number else []


def _word_of(split: str) -> str:
    return SPLIT_WORDS.get(split, split)


def _first_of(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN:,} more"


def _of_copies(card: DatasetCard) -> Iterator[str]:
    for pair, count in card.copies_across.items():
        first, second = map(_word_of, pair.split("/"))
        copies = f"an exact copy of a {first} image" if count.exact == 1 else f"exact copies of {first} images"
        yield from _sentence(count.exact, f"{second} image", "is", copies)
        more = "further " if count.exact else ""
        pixels = f"the pixels of {first} images, in other files"
        yield from _sentence(count.same_pixels, f"{more}{second} image", "has", pixels)
    confused = [group for group in card.copies if group.has_two_labels]
    if confused:
        one, *others = confused[0].images
        other = next(image for image in others if image.class_name != one.class_name)
        classes = f"{one.class_name!r} ({one.path}) and {other.class_name!r} ({other.path})"
        yield from _sentence(len(confused), "picture", "is", f"listed under two classes, the first as {classes}")
    for split, count in card.copies_within.items():
        copies = "a copy of another" if count.total == 1 else "copies of others"
        yield from _sentence(count.total, f"{_word_of(split)} image", "is", f"{copies} of the same split")


def _of_classes(card: DatasetCard) -> Iterator[str]:
    if len(card.class_names) == 1:
        yield f"there is 1 class alone, {card.class_names[0]!r}: nothing to tell apart; is it the right folder?"
    for split, counts in card.counts.items():
        word = _word_of(split)
        absent = [name for name, count in zip(card.class_names, counts, strict=True) if count == 0]
        rest = f"no {word} image, and a score leaves them out: {_first_of(absent)}"
        yield from _sentence(len(absent), "class", "has", rest, plural="classes")
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


def _of_pixels_and_files(card: DatasetCard) -> Iterator[str]:
    def first(images: Sequence[ListedImage]) -> str:
        return f"the first is {images[0].path}" if images else ""

    grey = f"are the plain grey of missing data, as of a truncated file: {first(card.grey_ends)}"
    yield from _sentence(len(card.grey_ends), "JPEG image", "", grey, before="the last rows of ")
    yield from _sentence(len(card.tiny), "image", "has", f"a side below 8 pixels: {first(card.tiny)}")
    frames = "the first frame alone is used"
    yield from _sentence(card.num_animated, "animated or many-paged image", "", frames, before="of ")
    turned = (
        "an EXIF orientation that is left aside, as torchvision does: a network sees them lie on their side; turn "
        "their pixels to have them upright"
    )
    yield from _sentence(card.num_turned, "image", "has", turned)
    transparent = (
        "transparent pixels, whose stored colours are used, as torchvision does; only a picture of one colour is laid "
        "on white or black"
    )
    yield from _sentence(card.num_transparent, "image", "has", transparent)
    yield from _sentence(card.modes.get("CMYK", 0), "CMYK image", "is", "turned into RGB without a colour profile")
    deep = sum(count for mode, count in card.modes.items() if mode.endswith("16-bit"))
    bits = "the upper 8 bits alone are used: a dark picture stays dark"
    yield from _sentence(deep, "16-bit image", "", bits, before="of ")
    suffix = f"the suffix of another format, and decode by their content: {first(card.wrong_suffixes)}"
    yield from _sentence(len(card.wrong_suffixes), "image", "has", suffix)
    if card.alike_paths:
        yield (
            f"names of {counted(len(card.alike_paths), 'group')} of files differ in case alone, and a disk of another "
            f"system keeps one of each: {_first_of([Path(path).name for path in card.alike_paths[0]])}"
        )
    beside = [name for name in card.passed_over if name.endswith("/")]
    files = [name for name in card.passed_over if not name.endswith("/")]
    yield from _sentence(len(beside), "folder", "is", f"beside those of the splits, and in none: {_first_of(beside)}")
    passed_over = f"in no split, for want of an image's suffix or a class: {_first_of(files)}"
    yield from _sentence(len(files), "file in the folder", "is", passed_over, plural="files in the folder")
