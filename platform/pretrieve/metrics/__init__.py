"""The metrics, one file each; `_base` describes their contract."""

from __future__ import annotations

from pretrieve.metrics._base import Metric as Metric
