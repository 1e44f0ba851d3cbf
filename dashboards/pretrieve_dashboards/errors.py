"""The errors of this package."""

from __future__ import annotations


class DashboardError(Exception):
    """A study that cannot be shown; the message gives the rule, the value, the place and the remedy."""


class StoreAwayError(DashboardError):
    """MLflow's store does not answer; the same question may be answered later."""
