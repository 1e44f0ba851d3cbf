"""Figure 4a: how the recall depends on cost_scale, the paper's ε_c."""

from __future__ import annotations

from pretrieve.paper._base import SMALL_DATA, WEAK_SCALE, Experiment, Results, Series
from pretrieve.paper.cost_ablations import recall_over_cost_scale
from pretrieve.paper.table4 import FULL_SELECTIONS, MINI_RECALL, MINI_SELECTIONS, PUBLISHED_RECALL, ROWS
from pretrieve_dashboards import Comparison, Curve, Drawing, Findings, Published, Value, draw_curves

COST_SCALES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
COLUMNS = tuple(f"{scale:g}" for scale in COST_SCALES)

PUBLISHED = Published(
    "Table 4, which prints the recall at ε_c = 0.01; the curve itself is printed without numbers",
    {(network, "0.01"): PUBLISHED_RECALL.values[network, "uot, cosine"] for network in ROWS},
)


def find(results: Results) -> Findings:
    """Measure the recall of UOT with the cosine cost by cost_scale, one row for each network."""
    values = {}
    for network, problem in results.problems.items():
        table = recall_over_cost_scale(
            problem.source.means,
            problem.target.means,
            problem.expected,
            cost_scales=COST_SCALES,
            costs=("cosine",),
            settings=problem.settings,
        ).table
        for scale, recall in zip(table["cost_scale"], table["recall"], strict=True):
            values[network, f"{scale:g}"] = Value(float(recall))
    comparison = Comparison("Recall of UOT over cost_scale", "network", ROWS, COLUMNS, values, PUBLISHED)
    curves = [Curve(row, tuple(values.get((row, column)) for column in COLUMNS)) for row in results.problems]
    svg = draw_curves(
        "Recall of UOT over cost_scale", COST_SCALES, curves, x_label="cost_scale ε_c", y_label="recall in %"
    )
    return Findings((comparison,), (Drawing("The same numbers over the logarithm of ε_c.", svg),))


FIGURE4A = Experiment(
    name="figure4a",
    place="Figure 4a",
    question="How sensitive is the selection to cost_scale, with a supervised and a self-supervised network?",
    full=Series(selections=FULL_SELECTIONS),
    mini=Series(selections=MINI_SELECTIONS, deviations=(*SMALL_DATA, *WEAK_SCALE, MINI_RECALL)),
    find=find,
)
