"""Settings of fine-tuning: the protocol of section 4.1 and the hyperparameters that the grid searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from pretrieve.components import OPTIMIZERS, SCHEDULES
from pretrieve.components.hyperparameters import BUILT_IN, Hyperparameter
from pretrieve.errors import ComponentError
from pretrieve.settings_model import SettingsModel

if TYPE_CHECKING:
    from pretrieve.training.optimizers import Optimizer
    from pretrieve.training.schedules import Schedule

Fraction = Annotated[float, Field(gt=0, le=1)]

Mix = Literal["mixup", "cutmix"]

_FAMILIES = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES}


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
      epochs: passes over the target's training images.
      batch_size: target images per step; the last partial batch of an epoch is dropped.
      source_batch_size: source images per step of a method that reuses the source; None: as many as target images.
      optimizer: how gradients change the weights: `sgd`, the paper's, `adamw`, or one of the user's.
      optimizer_settings: the optimizer's own settings, such as `layer_decay`.
      schedule: how the learning rates change: `step`, the paper's, `cosine_decay`, or one of the user's.
      schedule_settings: the schedule's own settings, such as `warmup` and `floor` of `cosine_decay`.
      decay_at: for `step`, shares of `epochs` after which the learning rate is multiplied by `decay_factor`.
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
    """

    epochs: Annotated[int, Field(ge=1)] = 100
    batch_size: Annotated[int, Field(ge=2)] = 256
    source_batch_size: Annotated[int, Field(ge=2)] | None = None
    optimizer: str = "sgd"
    # Settings are checked where they are left out too, as a member may need some.
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

    @field_validator("optimizer", "schedule")
    @classmethod
    def _is_known(cls, word: str, info: ValidationInfo) -> str:
        try:
            _FAMILIES[str(info.field_name)].find_for_study(word)
        except ComponentError as error:
            raise ValueError(str(error)) from error
        return word

    @field_validator("optimizer_settings", "schedule_settings")
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

    def build_optimizer(self) -> Optimizer:
        """Build the member that `optimizer` names from its settings."""
        member: Optimizer = OPTIMIZERS.build(self.optimizer, self.optimizer_settings)
        return member

    def build_schedule(self) -> Schedule:
        """Build the member that `schedule` names from its settings."""
        member: Schedule = SCHEDULES.build(self.schedule, self.schedule_settings)
        return member

    def steps_per_epoch(self, num_images: int) -> int:
        """Count the whole batches in one pass over the target; the last partial batch is dropped.

        >>> TrainingSettings(batch_size=256).steps_per_epoch(5994)
        23
        """
        return num_images // self.batch_size


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
