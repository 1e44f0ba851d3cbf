"""`pretrieve reproduce`: a table or figure of the paper from one's own runs, beside the published numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pretrieve.cli.study_argument import make_console


def reproduce(
    name: Annotated[str, typer.Argument(help="Which one: a name that `pretrieve experiments` lists.")],
    mini: Annotated[
        bool, typer.Option("--mini", help="In miniature, on images that come along: minutes on two cores.")
    ] = False,
    storage: Annotated[
        Path | None,
        typer.Option(
            help="Folder of studies, caches and reports. Default: what the study files say; with --mini "
            "`pretrieve-runs/mini` here."
        ),
    ] = None,
    class_means: Annotated[
        Path | None,
        typer.Option(
            "--class-means",
            help="Folder of centroids in files (<network>/<set>.npz with `means`), in place of features: the "
            "experiments that look at selections then need no data and train nothing.",
        ),
    ] = None,
) -> None:
    """Run a table or figure of the paper and print it with the published numbers; its report is written beside.

    The report lies in NAME/report.html of the storage, and is written anew after each study of the series.
    Interrupted at any time, the same command goes on; where everything is there, it computes nothing.

    `pretrieve reproduce table1a --mini`
    """
    from pretrieve.errors import TrialsFailedError
    from pretrieve.paper.catalogue import find_experiment
    from pretrieve.paper.reproduction import reproduce as reproduce_experiment
    from pretrieve_dashboards.experiment import print_experiment

    console = make_console()
    made = reproduce_experiment(
        find_experiment(name),
        is_mini=mini,
        storage=storage,
        class_means=class_means,
        on_point=lambda label, number, total: console.print(f"{name} {number} of {total}: {label}", highlight=False),
    )
    print_experiment(made.view, console, report_path=made.report_path)
    if made.failures:
        raise TrialsFailedError("; ".join(made.failures))
