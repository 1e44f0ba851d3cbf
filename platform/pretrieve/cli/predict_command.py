"""`pretrieve predict`: what a registered model says of image files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pretrieve.cli.json_answer import Answer
from pretrieve.cli.model_argument import Method, Model, Target, find_model
from pretrieve.cli.study_argument import Storage, written_file
from pretrieve.cli.terminal import make_table
from pretrieve.errors import UserError
from pretrieve.printing import echo, make_console

if TYPE_CHECKING:
    from pretrieve.tracking.registered_model import FilePrediction


def predict(
    model: Model,
    images: Annotated[list[Path], typer.Argument(help="Image files, and folders of them with all subfolders.")],
    target: Target = None,
    method: Method = None,
    csv_out: Annotated[
        Path | None, typer.Option("--csv", help="Write a table with the class scores to this file; else print one.")
    ] = None,
    abstain_below: Annotated[
        float, typer.Option(min=0, max=1, help="Leave an image undecided if its probability is below this.")
    ] = 0.0,
    storage: Storage = None,
) -> Answer:
    """Predict the class of image files with the model of a study.

    `pretrieve predict my_study.yaml photos/ --csv classes.csv`

    `pretrieve predict my_study.yaml --target birds sparrow.jpg owl.jpg --abstain-below 0.9`

    Where the study has folds, a probability is calibrated on the images that they held out. A file that is no image is
    named, and stops nothing; the exit status is then 1.
    """
    from rich.progress import Progress

    from pretrieve.tracking.registered_model import predict_files

    found = find_model(model, target, method, storage)
    paths = list(_image_files(images))
    class_names = found.card["class_names"]
    with Progress(console=make_console(stderr=True), transient=True) as bar:
        predictions = bar.track(predict_files(found, paths, abstain_below=abstain_below), len(paths), description="")
        rows = _written(predictions, written_file(csv_out), class_names) if csv_out else list(predictions)
    if csv_out is None:
        _print(rows)
    unreadable = [row for row in rows if row.error]
    if csv_out is not None:  # the printed table says so itself
        for row in unreadable:
            echo(f"no image: {row.path}: {row.error}", err=True)
    undecided = sum(row.class_name is None for row in rows) - len(unreadable)
    echo(f"{len(rows):,} files: {undecided:,} undecided, {len(unreadable):,} no image", err=True)
    return {
        "predictions": [asdict(row) for row in rows],
        "class_names": class_names,
        "exit_status": int(bool(unreadable)),
    }


def _image_files(given: Iterable[Path]) -> Iterator[Path]:
    """Yield the files that are given, and in folders those that end like images; say which others lie there."""
    from pretrieve.data.decode import IMAGE_SUFFIXES

    num_found = 0
    for path in given:
        if not path.is_dir():
            num_found += 1
            yield path
            continue
        files = sorted(each for each in path.rglob("*") if each.is_file())
        others = [each for each in files if each.suffix.lower() not in IMAGE_SUFFIXES]
        if others:
            echo(f"not read, as their names are none of images: {len(others):,}, the first: {others[0]}", err=True)
        num_found += len(files) - len(others)
        yield from (each for each in files if each.suffix.lower() in IMAGE_SUFFIXES)
    if not num_found:
        raise UserError(
            f"there must be an image to predict, but {', '.join(map(str, given))} holds none; files of a folder "
            f"must end in one of {', '.join(sorted(IMAGE_SUFFIXES))}"
        )


def _written(predictions: Iterable[FilePrediction], path: Path, class_names: list[str]) -> list[FilePrediction]:
    """Write a line for each file while they are predicted; return them without the class scores."""
    from dataclasses import replace

    from pretrieve.artifacts.atomic_files import replacing

    kept = []
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "class_name", "probability", "error", *(f"score {name}" for name in class_names)])
        for row in predictions:
            scores: Iterable[Any] = row.class_scores or [None] * len(class_names)
            writer.writerow([row.path, row.class_name, row.probability, row.error, *scores])
            kept.append(replace(row, class_scores=None))
    return kept


def _print(rows: Iterable[FilePrediction]) -> None:
    table = make_table(("file", "class", ">probability, %"), box=None)
    for row in rows:
        name = f"no image: {row.error}" if row.error else row.class_name or "undecided"
        table.add_row(str(row.path), name, "" if row.probability is None else f"{100 * row.probability:.1f}")
    make_console().print(table)
