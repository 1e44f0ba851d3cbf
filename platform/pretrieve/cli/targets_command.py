"""`pretrieve targets` lists the image sets that a study can name; `pretrieve prepare` brings one onto this disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pretrieve.cli.json_answer import Answer
from pretrieve.cli.terminal import make_table
from pretrieve.printing import echo, make_console

if TYPE_CHECKING:
    from rich.table import Table

    from pretrieve.data.published._base import Archive, PublishedFacts, PublishedSet

_SPLITS = ("train", "val", "test")
_VERBS = {"download": "downloading", "verify": "verifying", "unpack": "unpacking"}


def targets(
    name: Annotated[str | None, typer.Argument(help="One set, to see everything about it. Default: list all.")] = None,
) -> Answer:
    """List the image sets that a study can name: the paper's eight, built-in ones, those of installed packages.

    The paper's sets are published elsewhere: `pretrieve prepare NAME --root DIR` brings one to this disk.
    The others can be used at once, by name.

    `pretrieve targets` lists all, `pretrieve targets NAME` says where one comes from and which files it needs.
    """
    from pretrieve.data.published.catalogue import PUBLISHED, find_published
    from pretrieve.data.registry import registered_names

    console = make_console()
    if name is not None and (name in PUBLISHED or name not in registered_names()):
        console.print(_pairs(_facts(name, find_published(name).facts)))
        echo(f"\npretrieve prepare {name} --root DIR")
        return {"name": name, "facts": asdict(find_published(name).facts)}
    if name is not None:
        echo(f"{name} is registered and can be used at once; in a study file: `targets: [{name}]`")
        return {"name": name, "facts": None}
    console.print("Published sets; `pretrieve prepare NAME --root DIR` brings one to this disk:")
    console.print(_counts(PUBLISHED))
    # Each set has its own lines for its origin, so that its address stays in one piece on a narrow terminal.
    console.print(
        _pairs(
            (name, f"{of.facts.title}\nsplit: {of.facts.split}\nlicence: {of.facts.licence}\n{of.facts.page}\n")
            for name, of in PUBLISHED.items()
        )
    )
    console.print("Registered, built-in and of installed packages; can be used at once:")
    for registered in registered_names():
        echo(f"  {registered}")
    console.print(
        "\nA study file can also name a folder (`folder: /data/birds`) or a function (`my_module:my_target`)."
    )
    facts = {name: asdict(of.facts) for name, of in PUBLISHED.items()}
    return {"published": facts, "registered": registered_names()}


def _counts(published: Mapping[str, PublishedSet]) -> Table:
    from rich.box import SIMPLE_HEAD

    headings = ("name", ">classes", *(f">{split}" for split in _SPLITS), "metric", "archives")
    table = make_table(headings, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns[:-2]:
        column.no_wrap = True
    for name, entry in published.items():
        facts = entry.facts
        images = [f"{facts.num_images[split]:,}" if split in facts.num_images else "–" for split in _SPLITS]
        table.add_row(name, str(facts.num_classes), *images, _label(facts.metric), _served(facts))
    return table


def _label(metric: str) -> str:
    from pretrieve.data.metric_words import find_metrics

    return find_metrics([metric])[0].label


def _pairs(rows: Iterable[tuple[str, str]]) -> Table:
    table = make_table(("", ""), box=None, show_header=False, pad_edge=False)
    table.columns[0].no_wrap = True
    for heading, words in rows:
        table.add_row(heading, words)
    return table


def _served(facts: PublishedFacts) -> str:
    fetched = [archive for archive in facts.archives if not _lies_inside(archive, facts)]
    served, number = sum(archive.url is not None for archive in fetched), len(fetched)
    if served in (0, number):
        return "served" if served else "by hand"
    return f"{served} of {number} served"


def _facts(name: str, facts: PublishedFacts) -> list[tuple[str, str]]:
    rows = [
        ("name", name),
        ("title", facts.title),
        ("classes", str(facts.num_classes)),
        ("images", ", ".join(f"{split} {number:,}" for split, number in facts.num_images.items())),
        ("metric", _label(facts.metric)),
        ("split", facts.split),
        ("licence", facts.licence),
        ("page", facts.page),
    ]
    for archive in facts.archives:
        origin = "fetch by hand" if archive.url is None else f"from {archive.url}"
        origin = "comes inside another one" if _lies_inside(archive, facts) else origin
        checksum = "" if archive.md5 is None else f", MD5 {archive.md5}"
        rows.append(("archive", f"{archive.file}: {origin}{checksum}"))
    return rows


def _lies_inside(archive: Archive, facts: PublishedFacts) -> bool:
    from pretrieve.data.prepare import comes_with

    return comes_with(archive, facts.archives[: facts.archives.index(archive)])


def prepare(
    name: Annotated[str, typer.Argument(help="Which set: a name that `pretrieve targets` lists.")],
    root: Annotated[Path, typer.Option(help="Folder for its archives and its images; made if it is missing.")],
) -> Answer:
    """Bring one of the paper's target data sets onto this disk, ready for a study.

    What its publisher serves is downloaded, verified by its checksum and unpacked. What must be fetched by hand (an
    account, a form) is named all at once: put the files where the message says and run the command again.
    After an interruption the same command goes on; if all files exist, it only counts the images.

    `pretrieve prepare NAME --root /data/NAME`

    Archives and unpacked images both stay below the root, so it needs about twice the disk space of the archives.
    """
    import yaml
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from pretrieve.data.prepare import prepare as prepare_published
    from pretrieve.data.published.catalogue import find_published

    published = find_published(name)
    root = root.expanduser().absolute()
    columns = (BarColumn(bar_width=20), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}", markup=False), *columns) as bars:

        def update(step: str, file: str, done: int, total: int | None) -> None:
            description = f"{_VERBS[step]} {file}"
            if not bars.tasks or bars.tasks[-1].description != description:
                bars.add_task(description, total=total)
            bars.update(bars.tasks[-1].id, completed=done, total=total)

        image_set = prepare_published(published, root, progress=update)
    splits = ", ".join(f"{split} {image_set.num_images(split):,}" for split in image_set.splits)
    echo(f"{published.facts.title} is ready.")
    echo(f"  classes  {image_set.num_classes}\n  images   {splits}\n  metric   {image_set.metric}")
    echo("Lines for a study file:")
    entry = {"targets": [{"published": name, "folder": str(root)}]}
    echo(yaml.safe_dump(entry, sort_keys=False, width=10_000, allow_unicode=True).rstrip())  # a path in one line
    sizes = {split: image_set.num_images(split) for split in image_set.splits}
    return {"study_fields": entry, "num_classes": image_set.num_classes, "num_images": sizes}
