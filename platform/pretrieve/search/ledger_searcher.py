"""A searcher of Tune that keeps nothing for Tune to restore: what a study has computed, its ledger and files know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.tune.search import Searcher


class LedgerSearcher(Searcher):
    """The part of a searcher that is the same for all of ours; each suggests trials and learns how they end."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Pickle as a searcher that does nothing: Tune saves it to restore it, but the ledger restores a study."""
        return Searcher, ()

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Accept Tune's own settings and ignore them: each cell has its own."""
        return True

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Ignore what a trial reports on its way: only its end is learnt from."""

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the ledger knows all trials."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing, for the same reason."""
