"""Stage: the report, the table and the notes of a study, made from its record in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from pretrieve.records import StudyRecord
from pretrieve.records.forecast import StageForecast
from pretrieve.stages._base import Stage
from pretrieve.stages.calibration import Calibration
from pretrieve.stages.cell_counts import CellCountsStage
from pretrieve.stages.context import Context
from pretrieve.stages.model_cards import log_model_card
from pretrieve.stages.repeats import is_whole
from pretrieve.tracking import schema
from pretrieve.tracking.ledger import Ledger

if TYPE_CHECKING:
    from pretrieve.study.settings import StudySettings

REPORT_S = 1.5
REPORT_S_PER_TRIAL = 0.002
"""From reading a study of 4,000 trials and writing its page (benchmarks/report_scale.py)."""


class ReportStage(Stage[StudyRecord]):
    """Ends the study's run and writes its report; returns the final record in MLflow."""

    name = "report"
    place = 120
    is_shared = True

    def load(self, context: Context) -> StudyRecord | None:
        """Return None: each run writes the report anew."""
        return None

    def make(self, context: Context) -> StudyRecord:
        """Read the record from MLflow, and write report, table and notes.

        Raises:
          LedgerError: MLflow does not answer.
        """
        import pretrieve_dashboards as dashboards

        settings, ledger, clock = context.settings, context.ledger, context.clock
        ledger.end_study("FINISHED" if is_whole(context) else "FAILED")
        with clock.stage(self.name, total=1) as progressed:
            ledger.record_study(metrics=_stage_seconds(ledger, clock.seconds), tags={}, artifacts=[])
            record = ledger.persist(partial(_read, context.settings))
            report, table = settings.folder / schema.REPORT_ARTIFACT, settings.folder / schema.TABLE_ARTIFACT
            dashboards.write_report(record, report)
            table.write_text(dashboards.score_table(record).to_csv(), encoding="utf-8")
            ledger.record_study(metrics={}, tags={}, artifacts=[(report, None), (table, None)])
            ledger.write_notes(
                dashboards.run_notes(record, report),
                experiment=dashboards.experiment_note(record),
                runs_view=dashboards.shared_runs_view(record),
            )
            for target in record.models:
                if (found := record.model_refit(target)) is not None:
                    ledger.persist(partial(log_model_card, settings, record, *found, ledger.tree.client))
            progressed(1, 1)
        seconds = {self.name: clock.seconds[self.name]}
        ledger.record_study(metrics=_stage_seconds(ledger, seconds), tags={}, artifacts=[])
        return record

    def estimate(self, context: Context, measured: Calibration) -> StageForecast:
        num_runs = sum(cell.num_trials + cell.num_refits for cell in context.get(CellCountsStage))
        return StageForecast(self.name, REPORT_S + REPORT_S_PER_TRIAL * num_runs, "1 page")


def _read(settings: StudySettings) -> StudyRecord:
    """Read the whole record; raise what the ledger waits for where MLflow does not answer."""
    import pretrieve_dashboards as dashboards

    try:
        return dashboards.load_study(settings.tracking(), settings.name, with_curves=True, views=settings.views())
    except dashboards.StoreAwayError as error:
        raise ConnectionError(str(error)) from None


def _stage_seconds(ledger: Ledger, seconds: Mapping[str, float]) -> dict[str, float]:
    """Add this run's stage times to those of the study's earlier runs."""
    before = ledger.study_metrics()
    names = {f"{schema.STAGE_SECONDS_PREFIX}{stage.replace(' ', '_')}": value for stage, value in seconds.items()}
    return {name: before.get(name, 0.0) + value for name, value in names.items()}
