"""Running an experiment point by point, with its report written anew after each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pretrieve.errors import BudgetUsedUpError, TrialsFailedError, UserError
from pretrieve.experiments._base import Experiment, Results, SelectionPoint, SelectionProblem, Series, StudyPoint
from pretrieve.experiments.problems import problem_of_files, problem_of_study
from pretrieve.experiments.study_files import load_point
from pretrieve.records import StudyRecord
from pretrieve.study.settings import DEFAULT_STORAGE
from pretrieve.study.study import Study
from pretrieve.tracking.address import for_client, without_password
from pretrieve_dashboards.experiment import ExperimentView, Findings, write_experiment
from pretrieve_dashboards.report import write_report
from pretrieve_dashboards.views.missing import missing_parts
from pretrieve_dashboards.views.protocol import deviations
from pretrieve_dashboards.wording import run_links

if TYPE_CHECKING:
    from pretrieve.study.observer import StudyObserver
    from pretrieve.study.planning.calibration import SpeedBook
    from pretrieve.study.settings import StudySettings

REPORT = "report.html"
ARTIFACT_FOLDER = "experiments"
"""Where the runs of the studies have the reports of the experiments that they are part of."""
SELECTING_STAGES = ("backbone", "features", "clusters", "selection")
SHARED_STAGES = (*SELECTING_STAGES, "audit", "image cache", "relationships")
MINI_STORAGE = DEFAULT_STORAGE / "mini"
"""Where miniatures lie unless told otherwise: their reports are not to stand in the place of the paper's size."""


@dataclass(frozen=True)
class Reproduction:
    """What an experiment came to.

    Attributes:
      view: everything that its report says.
      report_path: the report.
      failures: what each study with failed trials said.
    """

    view: ExperimentView
    report_path: Path
    failures: tuple[str, ...]


def reproduce(
    experiment: Experiment,
    *,
    is_mini: bool = False,
    storage: Path | None = None,
    class_means: Path | None = None,
    observer: StudyObserver | None = None,
    on_point: Callable[[str, int, int], None] | None = None,
) -> Reproduction:
    """Run what is missing of an experiment and write its report, anew after each point of the series.

    Running it again computes nothing twice: each study finds what it has by its keys, that of other experiments of the
    same study as well.

    Args:
      experiment: one of the catalogue.
      is_mini: in miniature, on images that come along.
      storage: folder of studies, caches and reports; None: what the study files say, for a miniature `MINI_STORAGE`.
      class_means: folder of centroids in files that stand in for features; nothing is trained then.
      observer: hears what the studies do; None shows it on the terminal.
      on_point: called with the label of each study, its number from 1, and the number of studies.

    Returns:
      The view and where its report lies; failed trials are told, and the rest is shown.

    Raises:
      UserError: a study file does not fit the data or the cluster, or the experiment trains and class means are given.
    """
    if is_mini and storage is None:
        storage = MINI_STORAGE
    series = experiment.series(is_mini=is_mini)
    if class_means is not None:
        check_class_means(experiment, is_mini=is_mini)
        settings: dict[str, StudySettings] = {}
        folder = (storage or DEFAULT_STORAGE) / experiment.name
    else:
        # All of them before any of them runs: a wrong folder is to be told now, not after a night.
        settings = {_key(point): load_point(point, storage) for point in series.points}
        folder = next(iter(settings.values())).storage / experiment.name
    run = _Run(experiment, series, folder, is_mini=is_mini, class_means=class_means)
    for selection in series.selections:
        run.problems[selection.label] = (
            _problem(selection, settings[_key(selection)], observer)
            if class_means is None
            else problem_of_files(selection, class_means)
        )
    view = run.write()
    studies = series.studies if class_means is None else ()
    with _one_cluster(len(studies)):
        for number, point in enumerate(studies, start=1):
            if on_point is not None:
                on_point(point.label, number, len(studies))
            run.train(point, Study.from_settings(settings[_key(point)]), observer)
            view = run.write()
    run.log_report(settings)
    return Reproduction(view, run.report_path, tuple(run.failures))


@dataclass(frozen=True)
class SeriesCost:
    """What is left of a series.

    Attributes:
      wall_s: of all its studies, one after the other.
      gpu_hours: of their trials and refits.
    """

    wall_s: float
    gpu_hours: float


def cost_of_series(
    series: Series, book: SpeedBook, *, is_mini: bool = False, storage: Path | None = None
) -> SeriesCost:
    """Forecast what is left of a series.

    A study that several points share counts once, and so does what is made before the trials of several studies on one
    source with one network; of a selection that is looked at alone counts what is made before it.

    Args:
      series: the points.
      book: knows what was measured before.
      is_mini: see `reproduce`.
      storage: see `reproduce`.

    Raises:
      UserError: a study file does not fit the data or the cluster.
    """
    from pretrieve.study.observer import StudyObserver
    from pretrieve.study.planning.plan_study import forecast_study

    if is_mini and storage is None:
        storage = MINI_STORAGE
    shared: dict[tuple[str, str], float] = {}
    own: dict[str, tuple[float, float]] = {}
    for point in series.points:
        settings = load_point(point, storage)
        alike = settings.model_dump_json()
        is_trained = isinstance(point, StudyPoint)
        if alike in own and (own[alike] != (0.0, 0.0) or not is_trained):
            continue
        forecast = forecast_study(settings, StudyObserver(), book)
        basis = settings.model_dump_json(include={"source", "backbone"})
        needed = SHARED_STAGES if is_trained else SELECTING_STAGES
        for stage in forecast.stages:
            if stage.stage in needed:
                shared[basis, stage.stage] = max(shared.get((basis, stage.stage), 0.0), stage.seconds or 0.0)
        rest_s = sum(stage.seconds or 0.0 for stage in forecast.stages if stage.stage not in SHARED_STAGES)
        own[alike] = (rest_s, forecast.gpu_hours) if is_trained else (0.0, 0.0)
    return SeriesCost(
        sum(shared.values()) + sum(rest_s for rest_s, _ in own.values()), sum(hours for _, hours in own.values())
    )


def check_class_means(experiment: Experiment, *, is_mini: bool) -> None:
    """Refuse centroids in files where they answer nothing.

    Raises:
      UserError: the experiment looks at no selection, or is in miniature.
    """
    if is_mini:
        raise UserError("--class-means must be given without --mini: the centroids in files are of the paper's data")
    if not experiment.full.selections:
        raise UserError(
            f"--class-means must be given for an experiment that looks at selections, but {experiment.name!r} trains; "
            "leave it out"
        )


def _key(point: StudyPoint | SelectionPoint) -> str:
    return f"{type(point).__name__} {point.label}"


@contextmanager
def _one_cluster(num_studies: int) -> Iterator[None]:
    """Hold one connection to Ray for all studies of a series; a single one connects where it has something to do."""
    if num_studies < 2:
        yield
        return
    from pretrieve.cluster import connected

    with connected():
        yield


def _problem(point: SelectionPoint, settings: StudySettings, observer: StudyObserver | None) -> SelectionProblem:
    if observer is not None:
        return problem_of_study(point, settings, observer)
    from pretrieve.study.views import terminal_view

    with terminal_view(settings) as view:
        return problem_of_study(point, settings, view)


@dataclass
class _Run:
    experiment: Experiment
    series: Series
    folder: Path
    is_mini: bool
    class_means: Path | None
    records: dict[str, StudyRecord] = field(default_factory=dict)
    problems: dict[str, SelectionProblem] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def report_path(self) -> Path:
        return self.folder / REPORT

    def train(self, point: StudyPoint, study: Study, observer: StudyObserver | None) -> None:
        try:
            record = study.run(observer)
        except (TrialsFailedError, BudgetUsedUpError) as error:
            self.failures.append(f"{point.label}: {error}")
            record = study.record()
        self.records[point.label] = record
        # The study's own report is of its latest point: each point's is kept here.
        write_report(record, self.folder / self._study_report(point.label))

    def write(self) -> ExperimentView:
        view = self.view()
        write_experiment(view, self.report_path)
        return view

    def log_report(self, settings: Mapping[str, StudySettings]) -> None:
        """Give the report to the runs of its studies as well: MLflow's pages then show the published numbers."""
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        stores = {
            self.records[point.label].run_id: settings[_key(point)].tracking()
            for point in self.series.studies
            if point.label in self.records
        }
        for run_id, address in stores.items():
            try:
                client = MlflowClient(tracking_uri=for_client(address))
                client.log_artifact(run_id, str(self.report_path), f"{ARTIFACT_FOLDER}/{self.experiment.name}")
            except MlflowException as error:
                self.failures.append(f"MLflow did not take {self.report_path}: {without_password(str(error))}")

    def view(self) -> ExperimentView:
        experiment = self.experiment
        return ExperimentView(
            name=experiment.name,
            place=experiment.place,
            question=experiment.question,
            findings=self._findings(),
            deviations=self._deviations(),
            missing=(*self._missing(), *self.failures),
            studies={label: self._study_report(label) for label in self.records},
            stores={record.name: record.tracking_uri for record in self.records.values()},
            run_pages=self._run_pages(),
        )

    def _run_pages(self) -> dict[str, str]:
        pages = {
            refit.run_id: run_links(record).run(refit.run_id)
            for record in self.records.values()
            for cell in record.cells
            for refit in cell.refits
        }
        return {run_id: page for run_id, page in pages.items() if page}

    def _findings(self) -> Findings:
        found = self.experiment.find(Results(self.records, self.problems))
        compared = tuple(replace(each, is_of_other_data=self.is_mini) for each in found.comparisons)
        return replace(found, comparisons=compared)

    def _deviations(self) -> Sequence[str]:
        if self.class_means is None:
            return (*self.series.deviations, *self._deviations_of_settings())
        return (*self.series.deviations, f"the centroids are those in {self.class_means}; nothing was extracted here")

    def _deviations_of_settings(self) -> Sequence[str]:
        """Tell what the studies' own settings say: files and `--set` may be other than the series was written for.

        What its studies differ in, and what they select, is what the experiment is about.
        """
        told = [
            [
                f"{each.what}: {each.here}; in the paper: {each.paper}"
                for each in deviations(record)
                if each.part in ("backbone", "training", "grid", "seeds")
            ]
            for record in self.records.values()
        ]
        return [line for line in (told[0] if told else ()) if all(line in others for others in told)]

    def _missing(self) -> Sequence[str]:
        labels = [point.label for point in self.series.studies if point.label not in self.records]
        if labels and self.class_means is not None:
            return [f"nothing was trained, as the selections were made from centroids in files: {', '.join(labels)}"]
        not_run = [f"not run yet: {', '.join(labels)}"] if labels else []
        parts = [f"{label} · {part}" for label, record in self.records.items() for part in missing_parts(record)]
        return [*parts, *not_run]

    def _study_report(self, label: str) -> str:
        return f"studies/{re.sub(r'[^a-z0-9]+', '-', label.lower()).strip('-')}.html"
