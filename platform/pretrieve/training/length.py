"""How long a training is: its steps, and the epochs that they are divided into."""

from __future__ import annotations

from dataclasses import dataclass

from pretrieve.training.settings import TrainingSettings


@dataclass(frozen=True)
class Length:
    """The steps of one training, divided into epochs: after each, a trial is scored and its state is saved.

    Unless the settings say more than `epochs`, each epoch is one pass over the target. The number of epochs depends on
    the settings alone, not on the target or the row, so that early stopping compares alike trials.

    Attributes:
      num_steps: in all, >= `num_epochs`.
      num_epochs: they are equal, or differ by one step.
      schedule_epoch: steps that a schedule counts as an epoch; it divides `num_steps`. It is a pass over the target; a
        step, for a number of `steps`; and as many times that as `longer` multiplies the steps by.
    """

    num_steps: int
    num_epochs: int
    schedule_epoch: int

    @classmethod
    def of(cls, training: TrainingSettings, num_images: int, *, has_source: bool) -> Length:
        """Count the steps of a training on `num_images` of the target, with a source stream or without.

        >>> Length.of(TrainingSettings(epochs=5, batch_size=32), 160, has_source=False)
        Length(num_steps=25, num_epochs=5, schedule_epoch=5)
        >>> Length.of(TrainingSettings(epochs=5, min_steps=7), 160, has_source=False)
        Length(num_steps=7, num_epochs=5, schedule_epoch=1)
        >>> Length.of(TrainingSettings(steps=150, longer=True), 160, has_source=False)
        Length(num_steps=300, num_epochs=10, schedule_epoch=2)
        """
        steps_per_pass = training.steps_per_pass(num_images)
        if training.steps is None:
            num_passes = max(training.epochs, -(-(training.min_steps or 0) // steps_per_pass))
            num_steps, schedule_epoch = num_passes * steps_per_pass, steps_per_pass
        else:
            num_steps, schedule_epoch = training.steps, 1
        if training.longer and not has_source:
            batch, source_batch = training.step_sizes(num_images)
            # Rounded up: the last step may see a few images more than a joint row.
            num_steps = -(-num_steps * (batch + source_batch) // batch)
            stretched, rest = divmod(schedule_epoch * (batch + source_batch), batch)
            schedule_epoch = 1 if rest else stretched
        return cls(num_steps, training.num_epochs, schedule_epoch)

    def steps(self, epoch: int) -> range:
        """Return the steps of an epoch; both count from 0.

        >>> [len(Length(7, 5, 1).steps(epoch)) for epoch in range(5)]
        [1, 1, 2, 1, 2]
        """
        return range(*(each * self.num_steps // self.num_epochs for each in (epoch, epoch + 1)))
