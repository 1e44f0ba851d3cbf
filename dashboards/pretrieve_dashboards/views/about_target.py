"""What a target is, below its name."""

from __future__ import annotations

from markupsafe import Markup

from pretrieve.records import StudyRecord
from pretrieve_dashboards.views._base import View

METRICS = {"mean_per_class": "the mean of the classes' accuracies", "top1": "top-1 accuracy"}


class AboutTarget(View):
    """Its classes and images, its metric and its registered model."""

    title = ""
    order = 30
    scope = "target"

    def text(self, record: StudyRecord) -> str:
        (target,) = record.targets
        images = ", ".join(f"{number} {split}" for split, number in target.num_images.items())
        text = Markup("{} classes, {} images; scored by {}. ").format(
            target.num_classes, images, METRICS.get(target.metric, target.metric)
        )
        if target.name not in record.models:
            return text + "No model is registered yet."
        model = Markup("Model: <code>{}</code>, the method that is best on validation.")
        return text + model.format(record.models[target.name])
