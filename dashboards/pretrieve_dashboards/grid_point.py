"""The hyperparameters of a run, as the present plan names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_NAMES = ("lr", "weight_decay", "head_lr_ratio", "source_weight")


def grid_point(params: Mapping[str, str], top_ks: Sequence[int]) -> dict[str, float]:
    """Read the point of the grid that a trial or refit stands for.

    Args:
      params: the parameters of its MLflow run.
      top_ks: numbers of selected units in the present plan's grid; empty where it does not vary them.

    Returns:
      Value by name; `source_weight` and `top_k` only where the point has them.

    >>> told = {"lr": "0.1", "selection.top_k": "100", "selection.num_selected": "100"}
    >>> grid_point(told, ()), grid_point(told, (50, 100))
    ({'lr': 0.1}, {'lr': 0.1, 'top_k': 100})
    """
    point = {name: float(params[name]) for name in _NAMES if params.get(name) not in (None, "None")}
    top_k = _top_k(params, top_ks)
    return point if top_k is None else point | {"top_k": top_k}


def _top_k(params: Mapping[str, str], top_ks: Sequence[int]) -> int | None:
    """Find which of the plan's numbers of units a run stands for.

    A run is known by its images, not by the number that was asked for: it may be older than this grid, where the number
    stood in `selection.top_k`, or of an earlier one. So the units that it reused decide, as they do in the plan, where
    the first number of the grid that gives these images stands for them.
    """
    if not top_ks or "selection.num_selected" not in params:
        return None
    num_selected = int(params["selection.num_selected"])
    asked = int(params.get("selection.top_k", num_selected))
    # A list of groups ends where it ends: every larger number gives the same images.
    is_whole = asked > num_selected or num_selected not in top_ks
    return next((k for k in top_ks if k == num_selected or (is_whole and k > num_selected)), None)
