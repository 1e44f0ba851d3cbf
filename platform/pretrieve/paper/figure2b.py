"""Figure 2b: the source's groups ranked by their similarity to CUB, and which of them are birds."""

from __future__ import annotations

import numpy as np

from pretrieve.paper._base import SMALL_DATA, WEAK_SCALE, Experiment, Results, Series
from pretrieve.paper.table4 import FULL_SELECTIONS, MINI_RECALL, MINI_SELECTIONS, PUBLISHED_RECALL, ROWS
from pretrieve_dashboards import Comparison, Drawing, Findings, Listing, Published, Value, draw_ranked_groups
from pretrieve_selection import make_selector, recall_at_k

COLUMN = "recall"
NUM_LISTED = 20

PUBLISHED = Published(
    "Table 4, for the same selection",
    {(network, COLUMN): PUBLISHED_RECALL.values[network, "uot, cosine"] for network in ROWS},
)


def find(results: Results) -> Findings:
    """Rank the groups by UOT for each network, draw the ranking, and list the first groups."""
    recalls: dict[tuple[str, str], Value] = {}
    drawings, listings = [], []
    for network, problem in results.problems.items():
        selection = make_selector("uot").select(
            problem.source.means,
            problem.target.means,
            top_k=problem.settings.top_k,
            settings=problem.settings,
            rng=np.random.default_rng(0),  # not used by uot
        )
        recalls[network, COLUMN] = Value(recall_at_k(selection, problem.expected))
        masses = np.exp(selection.scores[list(selection.groups)]).tolist()
        title = f"Ranked similarity, {network} network"
        svg = draw_ranked_groups(title, selection.groups, masses, set(problem.expected))
        drawings.append(Drawing(f"{network} network: the mass that UOT gives each group, by rank", svg))
        rows = tuple(
            (str(rank), problem.source.names[group], f"{mass:.4g}", "yes" if group in problem.expected else "no")
            for rank, (group, mass) in enumerate(zip(selection.groups, masses, strict=True), start=1)
        )
        headings = ("rank", "group", "similarity", "expected")
        listings.append(Listing(f"The first groups, {network} network", headings, rows[:NUM_LISTED]))
    title = "Expected groups among those selected"
    comparison = Comparison(title, "network", ROWS, (COLUMN,), recalls, PUBLISHED)
    return Findings((comparison,), tuple(drawings), tuple(listings))


FIGURE2B = Experiment(
    name="figure2b",
    place="Figure 2b",
    question="How fast does the similarity of the source's groups to the target fall, and are the first ones its kin?",
    full=Series(
        selections=FULL_SELECTIONS, deviations=("the paper draws one network and does not say which; here are both",)
    ),
    mini=Series(selections=MINI_SELECTIONS, deviations=(*SMALL_DATA, *WEAK_SCALE, MINI_RECALL)),
    find=find,
)
