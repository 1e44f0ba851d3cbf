"""A schedule that falls in a straight line."""

from pretrieve.training.schedules import Schedule


class StraightLine(Schedule):
    """Lower the rate in a straight line, to a share of itself at the end."""

    name = "straight_line"

    def __init__(self, last: float = 0.1) -> None:
        if not 0 <= last <= 1:
            raise ValueError(f"last must be a share of the rate, from 0 to 1, but is {last}")
        self.last = last

    def factor(self, step, num_steps, steps_per_epoch, training):
        return 1 - (1 - self.last) * step / num_steps
