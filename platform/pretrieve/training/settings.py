"""Settings of fine-tuning: the protocol of section 4.1 and the hyperparameters that the grid searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from pretrieve.components import HEAD_STARTS, OPTIMIZERS, SCHEDULES
from pretrieve.components.hyperparameters import BUILT_IN, Hyperparameter
from pretrieve.errors import ComponentError
from pretrieve.settings_model import SettingsModel

if TYPE_CHECKING:
    from pretrieve.training.head_starts import HeadStart
    from pretrieve.training.optimizers import Optimizer
    from pretrieve.training.schedules import Schedule

Fraction = Annotated[float, Field(gt=0, le=1)]
Learns = Literal["all", "head"] | Annotated[int, Field(ge=1, strict=True)]
"""What learns: the whole network, the heads alone, or the heads and the last n blocks of the backbone."""

Mix = Literal["mixup", "cutmix"]

_FAMILIES = {"head_start": HEAD_STARTS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES}

NUM_EPOCHS_OF_STEPS = 10
"""Epochs of a training whose length is given as a number of steps: it is scored and saved so often."""


class AugmentationSettings(SettingsModel):
    """Random views of both streams (RandomResizedCrop, horizontal flip), and the strong view of eq. 7.

    Attributes:
      crop_area: smallest and largest share of the image's area that a crop keeps.
      crop_aspect: smallest and largest width / height of a crop.
      flip: whether half of the images are mirrored; wrong for letters and digits.
      num_ops: operations that RandAugment applies to a strong view, one after the other.
      magnitude: of RandAugment's operations, from 0 (no change) to 30.
      cutout_fraction: side of the grey square over a strong view, as a fraction of the view's side; 0 for none.
    """

    crop_area: tuple[Fraction, Fraction] = (0.08, 1.0)
    crop_aspect: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (3 / 4, 4 / 3)
    flip: bool = True
    num_ops: Annotated[int, Field(ge=0)] = 2
    magnitude: Annotated[int, Field(ge=0, le=30)] = 10
    cutout_fraction: Annotated[float, Field(ge=0, le=1)] = 0.5

    @field_validator("crop_area", "crop_aspect")
    @classmethod
    def _is_ordered(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] > bounds[1]:
            raise ValueError("the first bound must not exceed the second")
        return bounds


class TrainingSettings(SettingsModel):
    """What all trials of a study share (section 4.1).

    Attributes:
      epochs: passes over the target's training images; after each one a trial is scored and its state is saved.
      steps: steps in all, whatever the size of the target. Then `epochs` is not read: a trial is scored and saved after
        each tenth of its steps. None: the length is that of `epochs`.
      min_steps: beside `epochs`, at least so many steps: passes over a small target are added until it has them. They
        are spread over the same number of epochs, which are then longer than a pass.
      longer: whether rows that reuse no image of the source see as many images as those that do: they have
        (batch_size + source_batch_size) / batch_size times the steps, and the schedule is stretched. A row may set it.
      batch_size: target images per step; the last partial batch of a pass is dropped. A smaller target is used whole.
      source_batch_size: source images per step of a method that reuses the source; None: as many as target images.
      head_start: what fresh heads start from: `gaussian`, the paper's, `from_probe`, `from_means`, or one of the
        user's; a row may name another.
      head_start_settings: the head start's own settings.
      optimizer: how gradients change the weights: `sgd`, the paper's, `adamw`, or one of the user's.
      optimizer_settings: the optimizer's own settings, such as `layer_decay`.
      schedule: how the learning rates change: `step`, the paper's, `cosine_decay`, or one of the user's.
      schedule_settings: the schedule's own settings, such as `warmup` and `floor` of `cosine_decay`.
      decay_at: for `step`, shares of the passes, or `steps`, after which the rate is multiplied by `decay_factor`.
      decay_factor: for `step`; 0.1 is the paper's division by 10.
      momentum: for `sgd`, Nesterov's momentum.
      augmentation: random crops and flips.
      label_smoothing: ε in [0, 1): the label of a target image gives 1 − ε to its class and ε / K to each of the K
        classes, its own included. The source's labels stay as they are.
      mix: blend the images of each target batch in pairs, and their labels: `mixup` (Zhang et al. 2018) or `cutmix`
        (Yun et al. 2019).
      mix_source: blend target images with source images, see `mix_between`; only for objectives that learn the source's
        labels.
      mix_alpha: α > 0 of both: λ, the share of an image in its blend, is drawn from Beta(α, α) once a step. 0.2 suits
        mixup; the authors of CutMix take 1.
      class_balance: for targets with a long tail. `loss` weights each target image by 1 / n, n images of its class in
        the training set, times what makes the mean weight of the training images 1. `sampling` draws each image of an
        epoch from a class that is drawn uniformly, instead of a permutation of all images.
      source_objective: how reused images are learned: `joint` with their labels (eq. 6), `pseudo_label` without (eq.
        7). None: `pseudo_label` if clusters are selected, which are for a source without labels, else `joint`.
      relationship: how Co-Tuning relates categories: `calibrated`, as its authors' code, or `direct`.
      gradient_gap: whether trials measure δ² of Theorem 1 after each epoch, on held-out images of the target.
      synchronised_batch_norm: whether the batch norm of a trial on several GPUs sees the whole batch instead of each
        GPU's own part.
      batch_norm: whose statistics normalise an image: `both_streams`, those of target and source together, as in the
        paper; `target_only`, those of its own stream, of which prediction uses the target's; `frozen`, those of the
        pre-training, which do not change. Its weights learn in each.
      learns: `all`, the whole network; `head`, the heads alone; or n, the last n blocks of the backbone, counted as
        `layer_decay` does, and the heads. Blocks that do not learn compute as in prediction.
      weight_average: the decay per step of an exponential moving average of the weights, such as 0.99. Scores and
        refits are those of the averaged weights. None: of the last step's weights.
      max_gradient_norm: a longer gradient, taken over all weights together, is shortened to this L2 norm before each
        step. None: gradients stay as they are.
    """

    epochs: Annotated[int, Field(ge=1)] = 100
    steps: Annotated[int, Field(ge=1)] | None = None
    min_steps: Annotated[int, Field(ge=1)] | None = None
    longer: bool = False
    batch_size: Annotated[int, Field(ge=2)] = 256
    source_batch_size: Annotated[int, Field(ge=2)] | None = None
    head_start: str = "gaussian"
    # Settings are checked where they are left out too, as a member may need some.
    head_start_settings: dict[str, Any] = Field(default_factory=dict, validate_default=True)
    optimizer: str = "sgd"
    optimizer_settings: dict[str, Any] = Field(default_factory=dict, validate_default=True)
    schedule: str = "step"
    schedule_settings: dict[str, Any] = Field(default_factory=dict, validate_default=True)
    decay_at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.6, 0.8)
    decay_factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9
    augmentation: AugmentationSettings = AugmentationSettings()
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mix: Mix | None = None
    mix_source: Mix | None = None
    mix_alpha: Annotated[float, Field(gt=0)] = 0.2
    class_balance: Literal["loss", "sampling"] | None = None
    source_objective: Literal["joint", "pseudo_label"] | None = None
    relationship: Literal["calibrated", "direct"] = "calibrated"
    gradient_gap: bool = False
    synchronised_batch_norm: bool = False
    batch_norm: Literal["both_streams", "target_only", "frozen"] = "both_streams"
    learns: Learns = "all"
    weight_average: Annotated[float, Field(gt=0, lt=1)] | None = None
    max_gradient_norm: Annotated[float, Field(gt=0)] | None = None

    @field_validator("min_steps")
    @classmethod
    def _stands_without_steps(cls, min_steps: int | None, info: ValidationInfo) -> int | None:
        if min_steps is not None and (steps := info.data.get("steps")) is not None:
            raise ValueError(f"must be left out where the exact number is given, training.steps: {steps}; drop one")
        return min_steps

    @field_validator("head_start", "optimizer", "schedule")
    @classmethod
    def _is_known(cls, word: str, info: ValidationInfo) -> str:
        try:
            _FAMILIES[str(info.field_name)].find_for_study(word)
        except ComponentError as error:
            raise ValueError(str(error)) from error
        return word

    @field_validator("head_start_settings", "optimizer_settings", "schedule_settings")
    @classmethod
    def _are_taken(cls, settings: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        field = str(info.field_name).removesuffix("_settings")
        word = info.data.get(field)  # None: that word has a fault of its own
        if word is None or (not settings and word == cls.model_fields[field].default):
            return settings
        try:
            _FAMILIES[field].build(word, settings)
        except ComponentError as error:
            raise ValueError(str(error)) from error
        return settings

    @model_validator(mode="after")
    def _has_a_gradient_gap(self) -> TrainingSettings:
        if self.gradient_gap and self.learns == "head":
            raise ValueError(
                "'gradient_gap' must be false where 'learns' is 'head', but is true: it compares gradients of the "
                "backbone, which does not learn then; leave it out"
            )
        return self

    def build_head_start(self) -> HeadStart:
        """Build the member that `head_start` names from its settings."""
        member: HeadStart = HEAD_STARTS.build(self.head_start, self.head_start_settings)
        return member

    def build_optimizer(self) -> Optimizer:
        """Build the member that `optimizer` names from its settings."""
        member: Optimizer = OPTIMIZERS.build(self.optimizer, self.optimizer_settings)
        return member

    def build_schedule(self) -> Schedule:
        """Build the member that `schedule` names from its settings."""
        member: Schedule = SCHEDULES.build(self.schedule, self.schedule_settings)
        return member

    @property
    def num_epochs(self) -> int:
        """How often a trial is scored; `training.length` says which steps are in each epoch."""
        return self.epochs if self.steps is None else min(self.steps, NUM_EPOCHS_OF_STEPS)

    def step_sizes(self, num_images: int) -> tuple[int, int]:
        """Return the target and source images of a step, for a target of so many training images.

        >>> TrainingSettings(batch_size=256).step_sizes(5994), TrainingSettings(batch_size=256).step_sizes(160)
        ((256, 256), (160, 160))
        """
        target = min(self.batch_size, num_images)
        return target, self.source_batch_size or target

    def fitted_to(self, num_images: int) -> TrainingSettings:
        """Return the settings with the batch that a target of so many training images gives."""
        return self.model_copy(update={"batch_size": self.step_sizes(num_images)[0]})

    def steps_per_pass(self, num_images: int) -> int:
        """Count the whole batches in one pass over the target; the last partial batch is dropped.

        >>> TrainingSettings(batch_size=256).steps_per_pass(5994), TrainingSettings(batch_size=256).steps_per_pass(160)
        (23, 1)
        """
        return num_images // self.step_sizes(num_images)[0]


class Hyperparameters(SettingsModel):
    """One point of the grid (appendix A): a value for each hyperparameter that the members of a trial read.

    >>> from pretrieve.components.hyperparameters import HEAD_LR_RATIO, LR
    >>> point = Hyperparameters(lr=0.01, source_weight=0.3)
    >>> point.read(LR), point.read(HEAD_LR_RATIO), point.get("top_k")
    (0.01, 10.0, None)
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _leaves_none_out(cls, values: Any) -> Any:
        is_mapping = isinstance(values, Mapping)
        return {name: value for name, value in values.items() if value is not None} if is_mapping else values

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.values().items())))

    def values(self) -> dict[str, Any]:
        """Return the values by name."""
        return dict(self.__pydantic_extra__)

    def get(self, name: str) -> Any:
        """Return the value of that name; None if the point has none."""
        return self.__pydantic_extra__.get(name)

    def read(self, hyperparameter: Hyperparameter) -> Any:
        """Return the value of a hyperparameter, or its default.

        Raises:
          KeyError: the point has no value, and there is no default.
        """
        value = self.__pydantic_extra__.get(hyperparameter.read_as, hyperparameter.default)
        if value is None:
            raise KeyError(f"the point must have {hyperparameter.read_as!r}, but has {', '.join(self.values())}")
        return value

    def describe(self) -> str:
        """Write the point in one line.

        >>> Hyperparameters(lr=0.01, weight_decay=1e-4, source_weight=0.3, head_lr_ratio=10.0, temperature=2).describe()
        'lr 0.01, wd 0.0001, λ 0.3, head ×10, temperature 2'
        """
        values = self.values()
        known = {each.name: each.write(values[each.name]) for each in BUILT_IN if each.name in values}
        return ", ".join([*known.values(), *(f"{name} {values[name]}" for name in values if name not in known)])
