"""`pretrieve init`: look at images and write a study file that runs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from pretrieve.cli.json_answer import Answer
from pretrieve.cli.study_argument import written_file
from pretrieve.errors import UserError
from pretrieve.printing import echo


def init(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="A folder, a table (CSV, Parquet, Arrow), or an archive of images.")
    ],
    out: Annotated[Path, typer.Option(help="The study file to write.")] = Path("study.yaml"),
    source: Annotated[
        str | None, typer.Option(help="The pre-training images, likewise; or a name of `pretrieve targets`.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="The pre-trained network. Default: one whose weights are installed, or resnet18.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the study file if it is there.")] = False,
) -> Answer:
    """Look at a folder of images and write a study file that runs, with what was found and the choices as comments.

    `pretrieve init photos/birds`, then `pretrieve run study.yaml`

    The images may lie as `<class>/*.jpg` or in `train`, `val` and `test`. They may be listed in a CSV of paths and
    labels, or lie in Parquet or Arrow tables as Hugging Face writes them. A zip or tar is unpacked beside the study
    file. With `--source` the rows that reuse a part of the source are in the study too.
    """
    from pretrieve.artifacts.atomic_files import replacing
    from pretrieve.study.draft import draft_study

    path = written_file(out).absolute()
    if path.exists() and not force:
        raise UserError(
            f"--out must be a file that is not there yet, but {path} is; give another, or --force to replace it"
        )
    if not path.parent.is_dir():
        raise UserError(f"--out must lie in a folder that exists, but {path.parent} does not; make it, or name another")
    draft = draft_study(images, source=source, backbone=backbone, folder=path.parent)
    with replacing(path) as temporary:
        temporary.write_text(draft.text, encoding="utf-8")
    splits = ", ".join(f"{split} {table.num_rows:,}" for split, table in draft.target.splits.items())
    echo(f"{draft.target.num_classes} classes, {splits}; the smallest class has {draft.smallest_class} labelled images")
    echo(f"{out} is written; next: pretrieve validate {shlex.quote(str(out))}, then plan, then run")
    found = {"file": path, "classes": draft.target.class_names, "num_folds": draft.num_folds}
    sizes = {split: table.num_rows for split, table in draft.target.splits.items()}
    return {**found, "num_images": sizes, "smallest_class": draft.smallest_class}
