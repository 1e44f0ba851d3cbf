"""Run an experiment of the paper, study by study, and write its report again after each study."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pretrieve as pt
from pretrieve.errors import BudgetUsedUpError, TrialsFailedError, UserError
from pretrieve.paper.catalogue import load_point
from pretrieve.paper.experiment import Experiment, Results, SelectionPoint, SelectionProblem, Series, StudyPoint
from pretrieve.records import StudyRecord
from pretrieve_dashboards import ExperimentView, deviations, missing_parts, run_page, write_experiment, write_report
from pretrieve_selection import SelectionSettings

MINI_STORAGE = pt.DEFAULT_STORAGE / "mini"
"""The default storage of miniatures, so that their reports do not replace those of the paper's size."""


def reproduce(
    experiment: Experiment,
    *,
    is_mini: bool = False,
    storage: Path | None = None,
    class_means: Path | None = None,
    observer: pt.StudyObserver | None = None,
    on_point: Callable[[str, int, int], None] | None = None,
) -> Reproduction:
    """Run what is missing of an experiment, and write its report again after each point of the series.

    Running it again computes nothing twice. Each study finds its results by their keys, also those that another
    experiment computed. Failed trials raise no error: they are in `failures`, and the report shows the rest.

    Args:
      experiment: one of the catalogue.
      is_mini: run the miniature, on images that are part of this package.
      storage: folder of studies, caches and reports; None: what the study files say, for a miniature `MINI_STORAGE`.
      class_means: folder of centroids in files, used in place of features; then nothing is trained.
      observer: is notified of what the studies do; None shows it on the terminal.
      on_point: called with the label of each study, its number from 1, and the number of studies.

    Raises:
      UserError: a study file does not fit the data or the cluster, or the experiment trains and class means are given.
    """
    if is_mini and storage is None:
        storage = MINI_STORAGE
    series = experiment.series(is_mini=is_mini)
    if class_means is not None:
        _check_class_means(experiment, is_mini=is_mini)
        loaded: dict[StudyPoint | SelectionPoint, pt.Study] = {}
        folder = (storage or pt.DEFAULT_STORAGE) / experiment.name
    else:
        # All studies are loaded before any of them runs, so that a wrong folder is reported at once.
        loaded = {point: load_point(point, storage) for point in series.points}
        folder = next(iter(loaded.values())).settings.storage / experiment.name
    run = Reproduction(experiment, series, folder / "report.html", is_mini=is_mini, class_means=class_means)
    for selection in series.selections:
        run.problems[selection.label] = (
            _problem_of_study(selection, loaded[selection], observer)
            if class_means is None
            else _problem_of_files(selection, class_means)
        )
    run.write_report()
    studies = series.studies if class_means is None else ()
    # One connection to Ray for a whole series; a single study connects where it has something to do.
    with pt.connected() if len(studies) > 1 else nullcontext():
        for number, point in enumerate(studies, start=1):
            if on_point is not None:
                on_point(point.label, number, len(studies))
            run.train(point, loaded[point], observer)
            run.write_report()
    run.log_report(loaded)
    return run


def _check_class_means(experiment: Experiment, *, is_mini: bool) -> None:
    if is_mini:
        raise UserError("--class-means must be given without --mini: the centroids in files are of the paper's data")
    if not experiment.full.selections:
        raise UserError(
            f"--class-means must be given for an experiment that looks at selections, but {experiment.name!r} trains; "
            "leave it out"
        )


def _problem_of_study(point: SelectionPoint, study: pt.Study, observer: pt.StudyObserver | None) -> SelectionProblem:
    settings = study.settings
    assert settings.source is not None, "the experiments that look at selections have a source"
    source = settings.source.display_name
    with pt.terminal_view(settings) if observer is None else nullcontext(observer) as view:
        centroids = pt.study_centroids(settings, [source, point.target], view)
    expected = pt.read_group_list(settings.selection.expected_groups[point.target], centroids[source].names)
    return SelectionProblem(centroids[source], centroids[point.target], tuple(expected), settings.selection.core)


def _problem_of_files(point: SelectionPoint, folder: Path) -> SelectionProblem:
    assert point.class_means is not None, "all problems of the paper's size lie in files as well"
    source = pt.read_centroid_file(folder / point.class_means / "imagenet.npz")
    target = pt.read_centroid_file(folder / point.class_means / f"{point.target}.npz")
    return SelectionProblem(
        source, target, tuple(pt.read_group_list(point.expected, source.names)), SelectionSettings()
    )


@dataclass
class Reproduction:
    """The results of an experiment so far, its report, and the errors of the studies whose trials failed."""

    experiment: Experiment
    series: Series
    report_path: Path
    is_mini: bool
    class_means: Path | None
    records: dict[str, StudyRecord] = field(default_factory=dict)
    problems: dict[str, SelectionProblem] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    view: ExperimentView = field(init=False)

    def train(self, point: StudyPoint, study: pt.Study, observer: pt.StudyObserver | None) -> None:
        """Run a study; where trials failed, keep the error and what the study has."""
        try:
            record = study.run(observer)
        except (TrialsFailedError, BudgetUsedUpError) as error:
            self.failures += (f"{point.label}: {error}",)
            record = study.record()
        self.records[point.label] = record
        # The study's own report shows its latest point; the reports of all points are kept here.
        write_report(record, self.report_path.parent / self._study_report(point.label))

    def log_report(self, studies: Mapping[StudyPoint | SelectionPoint, pt.Study]) -> None:
        """Log the report to the runs of its studies, so that their MLflow pages have the published numbers too."""
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        stores = {
            self.records[point.label].run_id: study for point, study in studies.items() if point.label in self.records
        }
        for run_id, study in stores.items():
            try:
                client = MlflowClient(tracking_uri=pt.for_client(study.settings.tracking()))
                client.log_artifact(run_id, str(self.report_path), f"experiments/{self.experiment.name}")
            except MlflowException as error:
                self.failures += (f"MLflow did not take {self.report_path}: {pt.without_password(str(error))}",)

    def write_report(self) -> None:
        """Compare the results so far with the published numbers, and write the report again."""
        found = self.experiment.find(Results(self.records, self.problems))
        compared = tuple(replace(each, is_of_other_data=self.is_mini) for each in found.comparisons)
        runs = [
            (record, refit.run_id) for record in self.records.values() for cell in record.cells for refit in cell.refits
        ]
        self.view = ExperimentView(
            name=self.experiment.name,
            place=self.experiment.place,
            question=self.experiment.question,
            findings=replace(found, comparisons=compared),
            deviations=self._deviations(),
            missing=(*self._missing(), *self.failures),
            studies={label: self._study_report(label) for label in self.records},
            stores={record.name: record.tracking_uri for record in self.records.values()},
            run_pages={run_id: page for record, run_id in runs if (page := run_page(record, run_id))},
        )
        write_experiment(self.view, self.report_path)

    def _deviations(self) -> Sequence[str]:
        if self.class_means is not None:
            from_files = f"the centroids are those in {self.class_means}; nothing was extracted here"
            return (*self.series.deviations, from_files)
        # The study files and `--set` may deviate too. What only some studies deviate in, and what they select, is left
        # out: that is what the experiment varies.
        lines = [
            [
                f"{each.what}: {each.here}; in the paper: {each.paper}"
                for each in deviations(record)
                if each.part in ("backbone", "training", "grid", "seeds")
            ]
            for record in self.records.values()
        ]
        shared = [line for line in (lines[0] if lines else ()) if all(line in others for others in lines)]
        return (*self.series.deviations, *shared)

    def _missing(self) -> Sequence[str]:
        labels = [point.label for point in self.series.studies if point.label not in self.records]
        if labels and self.class_means is not None:
            return [f"nothing was trained, as the selections were made from centroids in files: {', '.join(labels)}"]
        not_run = [f"not run yet: {', '.join(labels)}"] if labels else []
        parts = [f"{label} · {part}" for label, record in self.records.items() for part in missing_parts(record)]
        return [*parts, *not_run]

    def _study_report(self, label: str) -> str:
        return f"studies/{re.sub(r'[^a-z0-9]+', '-', label.lower()).strip('-')}.html"
