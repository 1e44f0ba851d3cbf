"""Pretrieve: fine-tune on a small target together with the right part of the pre-training data.

>>> import pretrieve as pt
>>> @pt.register_target("stripes")
... def stripes() -> "pt.ImageSet": ...
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pretrieve.backbones import Architecture, Preprocessing, Projector, register_backbone
    from pretrieve.cluster import connected
    from pretrieve.data.array_set import image_set_from_arrays
    from pretrieve.data.dataset_card import DatasetCard, make_card
    from pretrieve.data.folder_tree import load_folder_tree
    from pretrieve.data.forms.csv_table import load_csv
    from pretrieve.data.forms.examples import image_set_from_examples
    from pretrieve.data.forms.hugging_face import image_set_from_hugging_face
    from pretrieve.data.forms.parquet_tables import load_parquet
    from pretrieve.data.forms.torchvision_sets import image_set_from_torchvision
    from pretrieve.data.group_lists import read_group_list
    from pretrieve.data.image_set import ImageSet, ImageSource, ImageTarget
    from pretrieve.data.imagenet import load_imagenet
    from pretrieve.data.registry import register_target
    from pretrieve.errors import PretrieveError, StudyFileError, UserError
    from pretrieve.features.centroid_file import NamedCentroids, read_centroid_file
    from pretrieve.study.observer import StudyObserver
    from pretrieve.study.settings import DEFAULT_STORAGE
    from pretrieve.study.study import Study
    from pretrieve.study.study_centroids import study_centroids
    from pretrieve.study.views import terminal_view
    from pretrieve.tracking.address import for_client, without_password

__version__ = "0.1.0"

_HOME = {
    "Architecture": "pretrieve.backbones",
    "ImageSet": "pretrieve.data.image_set",
    "ImageSource": "pretrieve.data.image_set",
    "ImageTarget": "pretrieve.data.image_set",
    "PretrieveError": "pretrieve.errors",
    "Preprocessing": "pretrieve.backbones",
    "Projector": "pretrieve.backbones",
    "Study": "pretrieve.study.study",
    "StudyFileError": "pretrieve.errors",
    "StudyObserver": "pretrieve.study.observer",
    "UserError": "pretrieve.errors",
    "image_set_from_arrays": "pretrieve.data.array_set",
    "load_folder_tree": "pretrieve.data.folder_tree",
    "load_csv": "pretrieve.data.forms.csv_table",
    "load_parquet": "pretrieve.data.forms.parquet_tables",
    "image_set_from_torchvision": "pretrieve.data.forms.torchvision_sets",
    "image_set_from_hugging_face": "pretrieve.data.forms.hugging_face",
    "image_set_from_examples": "pretrieve.data.forms.examples",
    "load_imagenet": "pretrieve.data.imagenet",
    "make_card": "pretrieve.data.dataset_card",
    "DatasetCard": "pretrieve.data.dataset_card",
    "register_backbone": "pretrieve.backbones",
    "register_target": "pretrieve.data.registry",
    "DEFAULT_STORAGE": "pretrieve.study.settings",
    "NamedCentroids": "pretrieve.features.centroid_file",
    "connected": "pretrieve.cluster",
    "for_client": "pretrieve.tracking.address",
    "read_centroid_file": "pretrieve.features.centroid_file",
    "read_group_list": "pretrieve.data.group_lists",
    "study_centroids": "pretrieve.study.study_centroids",
    "terminal_view": "pretrieve.study.views",
    "without_password": "pretrieve.tracking.address",
}

__all__ = [
    "DEFAULT_STORAGE",
    "Architecture",
    "DatasetCard",
    "ImageSet",
    "ImageSource",
    "ImageTarget",
    "NamedCentroids",
    "Preprocessing",
    "PretrieveError",
    "Projector",
    "Study",
    "StudyFileError",
    "StudyObserver",
    "UserError",
    "__version__",
    "connected",
    "for_client",
    "image_set_from_arrays",
    "image_set_from_examples",
    "image_set_from_hugging_face",
    "image_set_from_torchvision",
    "load_csv",
    "load_folder_tree",
    "load_imagenet",
    "load_parquet",
    "make_card",
    "read_centroid_file",
    "read_group_list",
    "register_backbone",
    "register_target",
    "study_centroids",
    "terminal_view",
    "without_password",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `pretrieve --help` must not wait for torch and Ray."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'pretrieve' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
