"""The hyperparameters: for each its symbol, scale, values and format. A member declares which of them it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

Positive = Annotated[float, Field(gt=0)]
Scale = Literal["log", "linear", "choice"]


@dataclass(frozen=True)
class Hyperparameter:
    """One number that the grid varies, and that a member of a family reads.

    A member lists those that it reads in `hyperparameters`. A study gives their values in `grid`, each under its name.

    Attributes:
      name: in `grid`, in MLflow and in tables.
      summary: what it is, in a few words.
      symbol: short for the name in tables.
      scale: how a model of the scores draws it between the smallest and the largest value: on a logarithmic or on a
        linear scale; `choice`: it draws one of the values.
      grid: the values to search where a study gives none; () for none, so that the trials of that study lack it.
      default: its value is no part of a trial's key where it equals this one; None: it always is.
      type: of one value, as pydantic takes it.
      form: how a value is written beside others; `{symbol}` and `{value}` are replaced.
      stands_for: the name of the hyperparameter that it replaces for its member, which reads it under that name.
    """

    name: str
    summary: str
    symbol: str
    scale: Scale
    grid: tuple[Any, ...]
    default: Any = None
    type: Any = Positive
    form: str = "{symbol} {value}"
    stands_for: str = ""

    @property
    def read_as(self) -> str:
        """The name by which a trial and its member read it."""
        return self.stands_for or self.name

    @property
    def example(self) -> Any:
        """A value to try a member with."""
        return self.grid[0] if self.grid else self.default or 1

    def write(self, value: Any) -> str:
        """Write a value beside others.

        >>> SOURCE_WEIGHT.write(0.3), HEAD_LR_RATIO.write(10.0)
        ('λ 0.3', 'head ×10')
        """
        text = f"{value:g}" if isinstance(value, float) else str(value)
        return self.form.format(symbol=self.symbol, value=text)


def read_number(text: str) -> float:
    """Read a value from MLflow's text.

    >>> read_number("0.1"), read_number("100")
    (0.1, 100)
    """
    return float(text) if not text.isdecimal() else int(text)


LR = Hyperparameter("lr", "learning rate of the backbone", "lr", "log", grid=(0.1, 0.03, 0.01, 0.003, 0.001))
WEIGHT_DECAY = Hyperparameter(
    "weight_decay",
    "L2 penalty on all parameters",
    "wd",
    "choice",
    grid=(1e-4, 1e-5, 0.0),
    default=0.0,
    type=Annotated[float, Field(ge=0)],
)
HEAD_LR_RATIO = Hyperparameter(
    "head_lr_ratio",
    "learning rate of the heads, divided by that of the backbone",
    "head",
    "choice",
    grid=(10.0,),
    default=10.0,
    form="{symbol} ×{value}",
)
SOURCE_WEIGHT = Hyperparameter(
    "source_weight", "λ of eq. 6, the weight of the source's loss", "λ", "log", grid=(1.0, 0.3, 0.1)
)
TOP_K = Hyperparameter("top_k", "number of units to select", "K", "choice", grid=(), type=Annotated[int, Field(ge=1)])
CO_TUNING_LR = Hyperparameter(
    "co_tuning_lr",
    "learning rate of the backbone for Co-Tuning",
    "lr",
    "log",
    grid=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    stands_for="lr",
)
CO_TUNING_WEIGHT = Hyperparameter(
    "co_tuning_weight",
    "weight of the loss on the source's categories against the target's loss, for Co-Tuning",
    "λ",
    "log",
    grid=(2.3,),
    stands_for="source_weight",
)

L2 = Hyperparameter(
    "l2",
    "strength of the L2 penalty of a linear probe, on features divided by their standard deviation",
    "L2",
    "log",
    # The strongest first: the first of equal scores is taken, and few validation images often give equal ones.
    grid=(300.0, 100.0, 30.0, 10.0, 3.0, 1.0),
)

BUILT_IN = (LR, WEIGHT_DECAY, SOURCE_WEIGHT, TOP_K, HEAD_LR_RATIO, CO_TUNING_LR, CO_TUNING_WEIGHT, L2)
"""In the order in which they are written; in a grid a later one varies more slowly than an earlier one."""
