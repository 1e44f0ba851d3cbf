"""The card of a data set as plain text for a terminal, and as Markdown for MLflow."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pretrieve.data.card_warnings import counted

if TYPE_CHECKING:
    from pretrieve.data.dataset_card import DatasetCard, SizeRange

WIDTH = 120
CLASSES_SHOWN = 30
IMAGES_SHOWN = 10
NAME_WIDTH = 48


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
