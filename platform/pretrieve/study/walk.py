"""The walk of a study: all of its stages, or those up to the one that is asked for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from pretrieve.artifacts.atomic_files import read_json
from pretrieve.artifacts.locks import sole_driver
from pretrieve.errors import BudgetUsedUpError, TrialsFailedError, UserError, nearest_word
from pretrieve.features.centroid_file import NamedCentroids
from pretrieve.interruption import at_a_signal
from pretrieve.records import PlanRecord, StudyRecord
from pretrieve.records.codec import check_version
from pretrieve.records.forecast import FORECAST_FILE, Forecast
from pretrieve.stages.budget import BudgetKeeper
from pretrieve.stages.context import Context, Recording, walking
from pretrieve.stages.distances import DistancesStage
from pretrieve.stages.features import SOURCE, FeaturesStage
from pretrieve.stages.image_cache import describe_inputs
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.network_check import NetworkCheckStage
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.repeats import RepeatsStage
from pretrieve.stages.report import ReportStage
from pretrieve.stages.selection import SelectionStage
from pretrieve.stages.selection_record import write_selection_records
from pretrieve.study.settings import StudySettings
from pretrieve.tracking import schema
from pretrieve.tracking.address import is_database, without_password
from pretrieve.tracking.ledger import PATIENCE_S, Ledger, is_refusal

OPENING_PATIENCE_S = 10.0
"""How long a new study waits at its start for MLflow's server, whose address may be wrong."""

OPENING_INTERVAL_S = 0.3

logger = logging.getLogger(__name__)


def run_study(
    settings: StudySettings,
    observer: StudyObserver,
    *,
    runs_trials: bool = True,
    extends: bool = False,
    run_s: float | None = None,
) -> StudyRecord:
    """Run what is missing of a study and write its report.

    Running it again computes nothing twice: every artifact and trial is found by the hash of what it was made from.

    With `runs_trials=False` it runs no trials: it refits the best of the finished ones, and says what is missing. A
    study that was extended keeps its repeats; `extends` records that it is. `run_s` is what this run may take, in
    seconds of wall time. It returns the record that MLflow holds at the end.

    Raises:
      UserError: the settings do not fit the data or the cluster.
      TrialsFailedError: some trials ended in an error; everything else is recorded, and the report says which.
      BudgetUsedUpError: the study's budget was used up first; everything else is recorded all the same.
    """
    make_folder(settings.folder)
    with sole_driver(settings.folder), ExitStack() as stack:
        ledger = open_ledger(settings, observer.noticed)
        settings = as_extended(settings, ledger.extended_to, observer.noticed)
        context = stack.enter_context(walking(settings, observer))
        stack.enter_context(at_a_signal(ledger.end_all))
        stack.push(ledger.failing_on_error)  # before Ray ends, which takes seconds
        if extends:
            extended = {schema.TAG_EXTENDED_TO: str(settings.repeats.draws)}
            ledger.record_study(metrics={}, tags=extended, artifacts=[])
        budget = BudgetKeeper(settings.budget, settings.folder, settings.cache, ledger.earlier_seconds(), run_s)
        context.recording = Recording(ledger, budget)
        context.runs_trials = runs_trials
        context.walk()
    _check_whole(context)
    return context.get(ReportStage)


def with_draws(settings: StudySettings, draws: int) -> StudySettings:
    """Return the settings with another number of repeats."""
    return settings.model_copy(update={"repeats": settings.repeats.model_copy(update={"draws": draws})})


def as_extended(settings: StudySettings, draws: int, notice: Callable[[str], None]) -> StudySettings:
    """Return the settings with the repeats that the study was extended to, where these are more than it says."""
    if draws <= settings.repeats.draws:
        return settings
    notice(f"the study was extended to {draws} repeats, and goes on with them")
    return with_draws(settings, draws)


def extended_to(settings: StudySettings) -> int:
    """Read how many repeats the study was extended to; 0 where it was not, or never ran."""
    from pretrieve_dashboards.errors import DashboardError
    from pretrieve_dashboards.mlflow_experiment import MlflowExperiment

    try:
        runs = MlflowExperiment(settings.tracking(), settings.name).runs(schema.KIND_STUDY)
    except DashboardError:
        return 0
    return max((int(run.data.tags.get(schema.TAG_EXTENDED_TO, 0)) for run in runs), default=0)


def _check_whole(context: Context) -> None:
    """Raise BudgetUsedUpError or TrialsFailedError where trials or refits that were to run have no result."""
    repeats, report = context.get(RepeatsStage), context.settings.folder / schema.REPORT_ARTIFACT
    missing = [task for repeat in repeats for task in repeat.missing]
    num_left = context.settings.repeats.draws - len(repeats)
    if (missing or num_left) and context.budget.reached is not None:
        num_done = sum(result.best is not None for result in repeats[0].cells)
        left = f" and {num_left} repeats were not begun" if num_left else ""
        raise BudgetUsedUpError(
            f"{context.budget.reached}: {len(missing)} trials and refits were not run to their ends{left}; "
            f"{num_done} of {len(repeats[0].cells)} cells have a best configuration, and the report ({report}) shows "
            "them; give a larger budget and run the study again to go on from there"
        )
    failed = [task for task in missing if context.runs_trials or task.spec.kind == "refit"]
    if failed:
        named = "; ".join(f"{task.spec.target} · {task.spec.method}: {task.spec.describe()}" for task in failed[:5])
        trials = "1 trial has" if len(failed) == 1 else f"{len(failed)} trials have"
        raise TrialsFailedError(
            f"{trials} no result, the first: {named}. Their errors stand in MLflow and in the report ({report}); run "
            "the study again to try them again"
        )


def deliver_study(settings: StudySettings) -> int:
    """Send to MLflow what waits in a study's folder, and run nothing; return how many trials were sent to their end.

    Raises:
      UserError: MLflow's store does not answer, or another process runs the study.
    """
    if not settings.folder.is_dir():
        raise UserError(f"a study must have run before it can be delivered, but {settings.folder} does not exist")
    with sole_driver(settings.folder):
        ledger = open_ledger(settings)
        left = {path.stem for path in ledger.spool_folder.glob("*.jsonl")}
        # The study's run was opened for this; whether the study is whole only a run of it can say.
        is_whole = ledger.status_before == "FINISHED" and not ledger.sent_keys
        ledger.end_study("FINISHED" if is_whole else "FAILED")
    return len(ledger.sent_keys - left)


def extract_features(settings: StudySettings, observer: StudyObserver) -> None:
    """Walk as far as the features that the study's selections are made from, and compute what is missing of them."""
    with _sole_walk(settings, observer) as context:
        if FeaturesStage().applies(context):
            features = context.get(FeaturesStage)
            features.extract(features.image_sets)
        else:
            context.clock.notice("no method of this study reuses the source, so it needs no features")


def make_selections(settings: StudySettings, observer: StudyObserver) -> list[Path]:
    """Walk as far as the study's selections; write the record of each into its folder, and return the JSON files.

    MLflow gets the records in the next run.
    """
    with _sole_walk(settings, observer) as context:
        inputs = describe_inputs(context, context.get(SelectionStage))
        context.get(DistancesStage)  # so that a run need not look at features again
        return [path for path in write_selection_records(settings, inputs) if path.suffix == ".json"]


def study_centroids(
    settings: StudySettings, names: Sequence[str], observer: StudyObserver
) -> Mapping[str, NamedCentroids]:
    """Average the features of each class of some of a study's image sets; extract the features that its store lacks.

    `names` are those of the source and the targets. A target's centroids are those of its train split, as in the study.

    Raises:
      UserError: a name is of no image set of the study; or an image set or the backbone does not fit.
    """
    sides = (settings.source, *settings.targets)
    known = tuple(side.display_name for side in sides if side is not None)
    for name in names:
        if name not in known:
            raise UserError(
                f"an image set of study {settings.name!r} must be one of {', '.join(known)}, but is {name!r}."
                f"{nearest_word(name, known)}"
            )
        if known.count(name) > 1:
            raise UserError(
                f"an image set must be named without doubt, but {name!r} is the source and a target of study "
                f"{settings.name!r}; give one of them another name"
            )
    with walking(settings, observer) as context:
        sets, features = context.get(ImageSetsStage), context.get(FeaturesStage)
        keys = {name: SOURCE if name == sets.source.name else name for name in names}
        if any(features.request(key).missing_shards(features.folder) for key in keys.values()):
            features.extract(keys.values())
        return {
            name: NamedCentroids(features.centroids(key), features.image_sets[key].class_names)
            for name, key in keys.items()
        }


@contextmanager
def _sole_walk(settings: StudySettings, observer: StudyObserver) -> Iterator[Context]:
    make_folder(settings.folder)
    with sole_driver(settings.folder), walking(settings, observer) as context:
        context.get(NetworkCheckStage)
        yield context


def make_folder(folder: Path) -> None:
    """Make the study's folder.

    Raises:
      UserError: it cannot be made or written to, or another version of Pretrieve left its records there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"storage must be a folder that can be written to, but {folder}: {error}") from error
    for record, path in ((PlanRecord, folder / schema.PLAN_ARTIFACT), (Forecast, folder / FORECAST_FILE)):
        try:
            left = read_json(path)
        except (OSError, ValueError):  # there is none, or a damaged one: it is written anew
            continue
        check_version(record, left, str(path))


def open_ledger(settings: StudySettings, notice: Callable[[str], None] = logger.warning) -> Ledger:
    """Open the record of a study, made where there is none; a server that is away is waited for.

    A new study waits OPENING_PATIENCE_S; one that ran before waits as long as in its stages, PATIENCE_S.

    Raises:
      UserError: MLflow's store does not answer, or the experiment is another study's.
    """
    patience_s = PATIENCE_S if (settings.folder / schema.PLAN_ARTIFACT).exists() else OPENING_PATIENCE_S
    give_up_at, is_noticed = time.monotonic() + patience_s, False
    while True:
        try:
            return Ledger(
                tracking_uri=settings.tracking(),
                study=settings.name,
                folder=settings.folder,
                owns_artifacts=is_database(settings.tracking()),
                stopped_is_done=settings.search.may_stop,
                notice=notice,
            )
        except UserError:
            raise
        except (MlflowException, SQLAlchemyError, ValueError) as error:  # the last for an address of no form
            is_away = isinstance(error, MlflowException) and not is_refusal(error)
            if not (is_away and settings.tracking().startswith("http")) or time.monotonic() > give_up_at:
                raise UserError(
                    f"MLflow's store must answer, but that of study {settings.name!r} says: "
                    f"{without_password(str(error))}; check tracking_uri and MLFLOW_TRACKING_URI, or leave both "
                    "out for SQLite in the study's folder"
                ) from None  # MLflow's own words may hold the address with its password
            if not is_noticed:
                notice(f"MLflow does not answer yet, and is asked again for {patience_s:.0f} s")
                is_noticed = True
            time.sleep(OPENING_INTERVAL_S)
