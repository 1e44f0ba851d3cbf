"""Pretrieve: fine-tune on a small target together with the right part of the pre-training data.

>>> import pretrieve as pt
>>> @pt.register_target("stripes")
... def stripes() -> "pt.ImageSet": ...
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pretrieve.backbones import Architecture as Architecture
    from pretrieve.backbones import Preprocessing as Preprocessing
    from pretrieve.backbones import Projector as Projector
    from pretrieve.backbones import register_backbone as register_backbone
    from pretrieve.cluster import connected as connected
    from pretrieve.data.array_set import image_set_from_arrays as image_set_from_arrays
    from pretrieve.data.dataset_card import DatasetCard as DatasetCard
    from pretrieve.data.dataset_card import make_card as make_card
    from pretrieve.data.folder_tree import load_folder_tree as load_folder_tree
    from pretrieve.data.forms.csv_table import load_csv as load_csv
    from pretrieve.data.forms.examples import image_set_from_examples as image_set_from_examples
    from pretrieve.data.forms.hugging_face import image_set_from_hugging_face as image_set_from_hugging_face
    from pretrieve.data.forms.parquet_tables import load_parquet as load_parquet
    from pretrieve.data.forms.torchvision_sets import image_set_from_torchvision as image_set_from_torchvision
    from pretrieve.data.group_lists import read_group_list as read_group_list
    from pretrieve.data.image_set import ImageSet as ImageSet
    from pretrieve.data.image_set import ImageSource as ImageSource
    from pretrieve.data.image_set import ImageTarget as ImageTarget
    from pretrieve.data.imagenet import load_imagenet as load_imagenet
    from pretrieve.data.registry import register_target as register_target
    from pretrieve.errors import PretrieveError as PretrieveError
    from pretrieve.errors import StudyFileError as StudyFileError
    from pretrieve.errors import UserError as UserError
    from pretrieve.features.centroid_file import NamedCentroids as NamedCentroids
    from pretrieve.features.centroid_file import read_centroid_file as read_centroid_file
    from pretrieve.records.prediction_summaries import confusion_matrix as confusion_matrix
    from pretrieve.records.prediction_summaries import expected_calibration_error as expected_calibration_error
    from pretrieve.records.prediction_summaries import per_class_accuracy as per_class_accuracy
    from pretrieve.records.predictions import KeptPredictions as KeptPredictions
    from pretrieve.records.predictions import read_predictions as read_predictions
    from pretrieve.stages.observer import StudyObserver as StudyObserver
    from pretrieve.study.merge import StudyPlace as StudyPlace
    from pretrieve.study.merge import merge_studies as merge_studies
    from pretrieve.study.settings import DEFAULT_STORAGE as DEFAULT_STORAGE
    from pretrieve.study.study import Study as Study
    from pretrieve.study.views import terminal_view as terminal_view
    from pretrieve.study.walk import study_centroids as study_centroids
    from pretrieve.tracking.address import for_client as for_client
    from pretrieve.tracking.address import without_password as without_password

__version__ = "0.1.0"


def _modules() -> dict[str, str]:
    """Return the module of each public name from the imports above, read as text because torch and Ray load slowly."""
    nodes = ast.walk(ast.parse(Path(__file__).read_text(encoding="utf-8")))
    imports = [(node.module, node.names) for node in nodes if isinstance(node, ast.ImportFrom)]
    return {alias.asname: module for module, names in imports if module for alias in names if alias.asname}


_MODULE_OF = _modules()

__all__ = sorted([*_MODULE_OF, "__version__"])


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `pretrieve --help` must not wait for torch and Ray."""
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'pretrieve' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
