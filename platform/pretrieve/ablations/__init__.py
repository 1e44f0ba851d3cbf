"""Ablations of the selection alone (section 4.4): a table and a figure each, without fine-tuning anything.

>>> import numpy as np
>>> from pretrieve_selection import SelectionSettings
>>> source = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]])
>>> target = np.array([[0.9, 0.1], [0.7, 0.5]])
>>> settings = SelectionSettings(top_k=2)
>>> ablation = recall_over_cost_scale(source, target, [0, 1], cost_scales=[0.01, 0.1], settings=settings)
>>> ablation.table[["cost", "cost_scale", "recall"]].values.tolist()[:2]
[['cosine', 0.01, 1.0], ['cosine', 0.1, 1.0]]
"""

from pretrieve.ablations._base import Ablation
from pretrieve.ablations.cost_and_method import recall_by_cost_and_method
from pretrieve.ablations.cost_scale import recall_over_cost_scale
from pretrieve.ablations.num_clusters import recall_over_num_clusters

__all__ = [
    "Ablation",
    "recall_by_cost_and_method",
    "recall_over_cost_scale",
    "recall_over_num_clusters",
]
