"""`pretrieve merge`: join studies whose repeats ran on different machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pretrieve.cli.json_answer import Answer
from pretrieve.cli.study_argument import load_study_argument
from pretrieve.printing import make_console

if TYPE_CHECKING:
    from pretrieve.study.merge import StudyPlace


def merge(
    studies: Annotated[list[Path], typer.Argument(help="Study files, or folders of studies that ran; two or more.")],
    into: Annotated[Path, typer.Option(help="Folder of the merged record, report and table.")],
) -> Answer:
    """Join studies of the same settings whose repeats ran on different machines: one record, verdict and report.

    Each has a `seed` of its own, and all have the same `repeats: {shared_seed: …}`. What else differs is named, and
    nothing is merged. A folder may be a copy from its machine.
    """
    from pretrieve.study.merge import merge_studies
    from pretrieve_dashboards import print_study

    folder = into.expanduser().absolute()
    record = merge_studies([find_study(path) for path in studies], folder)
    print_study(record, make_console(), report_path=folder / "report.html")
    return record


def find_study(path: Path) -> StudyPlace:
    """Return where a study is, from its study file or its folder."""
    from pretrieve.study.merge import StudyPlace
    from pretrieve.tracking.address import sqlite_store

    if path.is_dir():
        folder = path.expanduser().absolute()
        return StudyPlace(folder.name, folder, sqlite_store(folder))
    settings = load_study_argument(path, None, None, needs_files=False).settings
    return StudyPlace(settings.name, settings.folder, settings.tracking())
