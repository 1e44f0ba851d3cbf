"""`pretrieve card`: describe a data set, and what may make scores on it unreliable."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pretrieve.cli.json_answer import Answer
from pretrieve.printing import echo, make_console

if TYPE_CHECKING:
    from pretrieve.data.image_set import ImageSet


def card(
    image_set: Annotated[
        str, typer.Argument(metavar="PATH_OR_NAME", help="A folder tree, a registered name, or `my_module:my_target`.")
    ],
    max_images: Annotated[
        int, typer.Option(min=1, help="Of a larger set, a sample of so many images is read.")
    ] = 50_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample.")] = 0,
    split: Annotated[
        list[str] | None,
        typer.Option(help="Of a folder tree: `train=training_set` says where a split lies; once for each split."),
    ] = None,
    subfolders: Annotated[
        str | None, typer.Option(help="Of a folder tree: whether folders within classes are `classes` or `images`.")
    ] = None,
) -> Answer:
    """Describe a data set: counts, sizes, formats, broken images, copies within and across its splits, imbalance.

    `pretrieve card /data/birds`

    `pretrieve card digits --json > digits.json`
    """
    from rich.progress import Progress

    from pretrieve.data.dataset_card import make_card

    loaded, passed_over = _load(image_set, _layout(split, subfolders))
    with Progress(
        console=make_console(stderr=True), transient=True
    ) as bar:  # on stderr, so that it is no part of the card
        task = bar.add_task("images", total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        made = make_card(loaded, max_images=max_images, seed=seed, passed_over=passed_over, on_progress=update)
    echo(made.to_text(), nl=False)
    return made.to_dict()


def _layout(split: list[str] | None, subfolders: str | None) -> dict[str, Any]:
    """Read the options of a folder tree into arguments of `load_folder_tree`."""
    from pretrieve.errors import UserError

    if subfolders not in (None, "classes", "images"):
        raise UserError(f"--subfolders must be classes or images, but is {subfolders!r}")
    wrong = [each for each in split or () if "=" not in each]
    if wrong:
        raise UserError(f"--split must read train=FOLDER, but is {wrong[0]!r}")
    splits = dict(each.split("=", 1) for each in split) if split else None
    return {"splits": splits, "subfolders": subfolders}


def _load(reference: str, layout: dict[str, Any]) -> tuple[ImageSet, list[str]]:
    """Load a set by its name, or a folder tree; also return the files of the tree that belong to no split."""
    from pretrieve.data.folder_tree import load_folder_tree, passed_over_names
    from pretrieve.data.registry import find_image_set, registered_names

    folder = Path(reference).expanduser()
    # As in a study file, a plain word is a name; `./` before it makes it a folder.
    is_name = reference in registered_names() or (":" in reference and not folder.exists())
    if not is_name and ("/" in reference or folder.is_dir()):
        loaded = load_folder_tree(folder, name=folder.resolve().name, **layout)
        return loaded, passed_over_names(folder, layout["splits"])
    with tempfile.TemporaryDirectory() as cache:
        return find_image_set(reference, cache=Path(cache)), []
