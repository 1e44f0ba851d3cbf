"""Where a run is shown: its page in MLflow's UI, where the record says at which address that is."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from pretrieve.records import StudyRecord


@dataclass(frozen=True)
class RunLinks:
    """Addresses of pages in MLflow's UI.

    Attributes:
      ui: address of the UI without a slash at its end; empty where the store is no server, whose UI may be anywhere.
      experiment_id: of MLflow.
    """

    ui: str
    experiment_id: str

    def run(self, run_id: str | None) -> str:
        """Return the address of a run's page; empty where there is no run or no UI is known.

        >>> RunLinks("http://mlflow:5000", "7").run("ab12")
        'http://mlflow:5000/#/experiments/7/runs/ab12'
        """
        return f"{self.ui}/#/experiments/{self.experiment_id}/runs/{quote(run_id)}" if self.ui and run_id else ""

    def runs_with(self, tag: str, value: str) -> str:
        """Return the address of the list of the runs with a tag; empty where no UI is known."""
        if not self.ui:
            return ""
        words = quote(f"tags.`{tag}` = '{value}'", safe="")
        return f"{self.ui}/#/experiments/{self.experiment_id}/runs?searchFilter={words}"


def run_links(record: StudyRecord) -> RunLinks:
    """Tell where the runs of a study are shown.

    A tracking server shows its runs at its own address. A name and password in it are left out: the page would hold
    them, and browsers ask.
    """
    parts = urlsplit(record.tracking_uri)
    if parts.scheme not in ("http", "https"):
        return RunLinks("", record.experiment_id)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    return RunLinks(bare.geturl().rstrip("/"), record.experiment_id)
