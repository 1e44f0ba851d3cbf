"""`pretrieve targets` lists the image sets that a study can name; `pretrieve prepare` brings one onto this disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from pretrieve.data.image_set import ImageSet
    from pretrieve.data.published._base import Archive, PublishedFacts, PublishedSet

_SPLITS = ("train", "val", "test")
_VERBS = {"download": "downloading", "verify": "verifying", "unpack": "unpacking"}
_METRICS = {"top1": "top-1", "mean_per_class": "mean per class"}


def targets(
    name: Annotated[str | None, typer.Argument(help="One set, to see everything about it. Default: list all.")] = None,
) -> None:
    """List the image sets that a study can name: the paper's eight, built-in ones, those of installed packages.

    The paper's sets are published elsewhere: `pretrieve prepare NAME --root DIR` brings one to this disk.
    The others are there at once, by name.

    `pretrieve targets` lists all, `pretrieve targets NAME` says where one comes from and which files it needs.
    """
    from rich.console import Console

    from pretrieve.data.published.catalogue import PUBLISHED, find_published
    from pretrieve.data.registry import registered_names

    console = Console()
    if name is None:
        _print_all(console, PUBLISHED, registered_names())
    elif name in registered_names() and name not in PUBLISHED:
        console.print(f"{name} is registered and there at once; in a study file: `targets: [{name}]`", markup=False)
    else:
        _print_one(console, name, find_published(name).facts)


def _print_all(console: Console, published: Mapping[str, PublishedSet], registered: list[str]) -> None:
    console.print("Published sets; `pretrieve prepare NAME --root DIR` brings one to this disk:", markup=False)
    console.print(_counts(published))
    # Each set has its own lines for its origin, so that its address stays in one piece on a narrow terminal.
    origins = {
        name: f"{of.facts.title}\nsplit: {of.facts.split}\nlicence: {of.facts.licence}\n{of.facts.page}\n"
        for name, of in published.items()
    }
    console.print(_pairs(origins.items()))
    console.print("Registered, built-in and of installed packages; there at once:", markup=False)
    for name in registered:
        typer.echo(f"  {name}")
    words = "\nA study file can also name a folder (`folder: /data/birds`) or a function (`my_module:my_target`)."
    console.print(words, markup=False, highlight=False)


def _counts(published: Mapping[str, PublishedSet]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("name", no_wrap=True)
    for heading in ("classes", *_SPLITS):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("metric")
    table.add_column("archives")
    for name, entry in published.items():
        facts = entry.facts
        images = [f"{facts.num_images[split]:,}" if split in facts.num_images else "–" for split in _SPLITS]
        table.add_row(name, str(facts.num_classes), *images, _METRICS[facts.metric], _served(facts))
    return table


def _pairs(rows: Iterable[tuple[str, str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for heading, words in rows:
        table.add_row(heading, Text(words))  # brackets in a Text are no markup
    return table


def _served(facts: PublishedFacts) -> str:
    fetched = [archive for archive in facts.archives if not _lies_inside(archive, facts)]
    served, number = sum(archive.url is not None for archive in fetched), len(fetched)
    if served in (0, number):
        return "served" if served else "by hand"
    return f"{served} of {number} served"


def _print_one(console: Console, name: str, facts: PublishedFacts) -> None:
    rows = {
        "name": name,
        "title": facts.title,
        "classes": str(facts.num_classes),
        "images": ", ".join(f"{split} {number:,}" for split, number in facts.num_images.items()),
        "metric": _METRICS[facts.metric],
        "split": facts.split,
        "licence": facts.licence,
        "page": facts.page,
    }
    archives = [
        ("" if number else "archives", _describe(archive, facts)) for number, archive in enumerate(facts.archives)
    ]
    console.print(_pairs([*rows.items(), *archives]))
    typer.echo(f"\npretrieve prepare {name} --root DIR")


def _describe(archive: Archive, facts: PublishedFacts) -> str:
    origin = "fetch by hand" if archive.url is None else f"from {archive.url}"
    if _lies_inside(archive, facts):
        origin = "comes inside another one"
    return f"{archive.file}: {origin}" + ("" if archive.md5 is None else f", MD5 {archive.md5}")


def _lies_inside(archive: Archive, facts: PublishedFacts) -> bool:
    from pretrieve.data.prepare import comes_with

    return comes_with(archive, facts.archives[: facts.archives.index(archive)])


def prepare(
    name: Annotated[str, typer.Argument(help="Which set: a name that `pretrieve targets` lists.")],
    root: Annotated[Path, typer.Option(help="Folder for its archives and its images; made where it is missing.")],
) -> None:
    """Bring one of the paper's target data sets onto this disk, ready for a study.

    What its publisher serves is downloaded, verified by its checksum and unpacked. What must be fetched by hand (an
    account, a form) is named all at once: put the files where the message says and run the command again.
    Interrupted at any time, the same command goes on; where everything is there, it only counts the images.

    `pretrieve prepare NAME --root /data/NAME`

    Both the archives and what they unpack to stay below the root, so it needs room for about twice the archives.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from pretrieve.data.prepare import prepare as prepare_published
    from pretrieve.data.published.catalogue import find_published

    published = find_published(name)
    root = root.expanduser().absolute()
    console = Console()
    columns = (BarColumn(bar_width=20), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}", markup=False), *columns, console=console) as bars:

        def update(step: str, file: str, done: int, total: int | None) -> None:
            description = f"{_VERBS[step]} {file}"
            if not bars.tasks or bars.tasks[-1].description != description:
                bars.add_task(description, total=total)
            bars.update(bars.tasks[-1].id, completed=done, total=total)

        image_set = prepare_published(published, root, progress=update)
    _print_prepared(console, published.facts.title, name, root, image_set)


def _print_prepared(console: Console, title: str, name: str, root: Path, image_set: ImageSet) -> None:
    import yaml

    splits = ", ".join(f"{split} {image_set.num_images(split):,}" for split in image_set.splits)
    lines = [
        f"{title} is ready.",
        f"  classes  {image_set.num_classes}",
        f"  images   {splits}",
        f"  metric   {image_set.metric}",
        "Lines for a study file:",
    ]
    console.print("\n".join(lines), highlight=False, markup=False)
    entry = {"targets": [{"published": name, "folder": str(root)}]}
    # The width is large and the console is not used, because a long path must stay on one line.
    typer.echo(yaml.safe_dump(entry, sort_keys=False, width=10_000, allow_unicode=True).rstrip())
