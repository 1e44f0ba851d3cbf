"""The methods of a study: a method is a selector, which chooses groups, and an objective, which trains on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

MethodName = Literal["finetune", "random", "greedy_ot", "uot", "nearest", "label", "co_tuning"]


@dataclass(frozen=True)
class Method:
    """One way to fine-tune; without a selector no source is reused."""

    name: str
    selector: str | None
    objective: str


METHODS: dict[str, Method] = {
    "finetune": Method("finetune", selector=None, objective="finetune"),
    "random": Method("random", selector="random", objective="joint"),
    "greedy_ot": Method("greedy_ot", selector="greedy_ot", objective="joint"),
    "uot": Method("uot", selector="uot", objective="joint"),
    "nearest": Method("nearest", selector="nearest", objective="joint"),
    "label": Method("label", selector="label", objective="joint"),
    "co_tuning": Method("co_tuning", selector=None, objective="co_tuning"),
}

assert tuple(METHODS) == get_args(MethodName)
