"""Algorithms that select the part of the pre-training data that resembles a target. They work on arrays alone.

>>> import numpy as np
>>> source = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]])
>>> target = np.array([[0.9, 0.1], [0.7, 0.5]])
>>> selection = make_selector("uot").select(
...     source, target, top_k=2, settings=SelectionSettings(), rng=np.random.default_rng(0)
... )
>>> selection.groups, selection.converged
((1, 0), True)
>>> recall_at_k(selection, expected_ids=[0, 1])
1.0
"""

from pretrieve_selection.centroids import CentroidSums
from pretrieve_selection.costs import COSTS, cosine_cost, euclidean_cost
from pretrieve_selection.errors import SelectionError, SelectionInputError
from pretrieve_selection.image_scores import ImageScores
from pretrieve_selection.image_transport import ImageTransport, solve_image_transport
from pretrieve_selection.imagenet_groups import IMAGENET_BIRD_CLASSES, IMAGENET_DOG_CLASSES
from pretrieve_selection.input_checks import check_centroids, check_features
from pretrieve_selection.nearest_word import describe_choices
from pretrieve_selection.selection import Selection, rank_groups, recall_at_k
from pretrieve_selection.selectors import SelectionProblem, Selector, Unit, make_selector, selectors
from pretrieve_selection.settings import SelectionSettings, TransportSettings
from pretrieve_selection.sides import GroupedFeatures, GroupMoments, Need, Side
from pretrieve_selection.single_images import ImageSelection, score_images, select_images
from pretrieve_selection.spherical_kmeans import Clusters, cluster_features
from pretrieve_selection.unbalanced_transport import TransportMethod, TransportPlan, solve_unbalanced_transport

__all__ = [
    "COSTS",
    "IMAGENET_BIRD_CLASSES",
    "IMAGENET_DOG_CLASSES",
    "CentroidSums",
    "Clusters",
    "GroupMoments",
    "GroupedFeatures",
    "ImageScores",
    "ImageSelection",
    "ImageTransport",
    "Need",
    "Selection",
    "SelectionError",
    "SelectionInputError",
    "SelectionProblem",
    "SelectionSettings",
    "Selector",
    "Side",
    "TransportMethod",
    "TransportPlan",
    "TransportSettings",
    "Unit",
    "check_centroids",
    "check_features",
    "cluster_features",
    "cosine_cost",
    "describe_choices",
    "euclidean_cost",
    "make_selector",
    "rank_groups",
    "recall_at_k",
    "score_images",
    "select_images",
    "selectors",
    "solve_image_transport",
    "solve_unbalanced_transport",
]
