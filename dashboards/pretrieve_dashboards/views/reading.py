"""How the interval of a score is to be read."""

from __future__ import annotations

from pretrieve.records import StudyRecord
from pretrieve_dashboards.view_table import Table, numeric, row
from pretrieve_dashboards.views._base import View

STUDENT_T_975 = {2: "12.71", 3: "4.30", 4: "3.18", 5: "2.78", 10: "2.26"}
"""Quantiles of Student's t for n refits (n − 1 degrees of freedom)."""


class Reading(View):
    """What the ± covers, and what it does not."""

    id = "reading"
    title = "How to read the interval"
    link = "How to read it"
    order = 80

    def text(self, record: StudyRecord) -> str:
        return (
            "Every method is searched over the same grid on the validation images. Its best configuration is then "
            "trained again n times, each time with another seed, and tested once each. The interval is mean ± t · s / "
            "√n, with s the standard deviation of the n scores and t the 97.5% quantile of Student's t with n − 1 "
            "degrees of freedom.\n\n"
            "It tells how much the score moves with the seed of heads, order and crops. It does not tell how much it "
            "would move with other images, and two methods whose intervals overlap may still differ. With one refit "
            "there is no interval. The average has none: the targets are not a sample of anything."
        )

    def table(self, record: StudyRecord) -> Table:
        head = ("refits n", *map(str, STUDENT_T_975))
        rows = [row("t", *map(numeric, STUDENT_T_975.values()))]
        return Table("Quantiles of Student's t", "Few refits make wide intervals.", head, rows)
