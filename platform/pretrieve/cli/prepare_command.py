"""`pretrieve prepare`: fetch, verify, unpack and count a published data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pretrieve.data.image_set import ImageSet

_VERBS = {"download": "downloading", "verify": "verifying", "unpack": "unpacking"}


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
    _print(console, published.facts.title, name, root, image_set)


def _print(console: Console, title: str, name: str, root: Path, image_set: ImageSet) -> None:
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
