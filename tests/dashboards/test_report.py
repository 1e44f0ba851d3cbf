import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from verdicts_of_studies import with_verdict

from pretrieve_dashboards import render_report, write_report

VOID = {"meta", "link", "br", "img", "hr", "input"}
FILE_LIMIT_BYTES = 5_000_000


class Page(HTMLParser):
    """Collects tags, references and visible text, and checks that every tag is closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.references, self.words, self.ids = [], [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.references += [value for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words += data.split()

    @property
    def text(self):
        return " ".join(self.words)

    def attributes(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def html(finished_study):
    return render_report(finished_study)


@pytest.mark.shows(
    "scores",
    "reading",
    "about_target",
    "best",
    "selections",
    "overlap",
    "problems",
    "cost_by_stage",
    "configuration",
    "refits",
)
def test_report_has_the_numbers_the_runs_and_the_groups(html):
    text = Page(html).text
    for part in ("70.0 ± 5.0", "90.0 ± 1.2", "60.0 ± 10.0", "cell-birds-uot", "run-birds-uot-r11", "study-run"):
        assert part in text
    for part in ("seed 11 90.0", "lr 0.1, wd 1e-4, λ 0.3, head ×10", "[red] kite", "did not converge", "4.30"):
        assert part in text
    for part in ("models:/study.birds@champion", "1 min 15 s", "No trial or refit diverged or failed.", "average"):
        assert part in text
    assert "What is missing" not in text


def test_what_comes_from_data_is_escaped(html):
    page = Page(html)
    assert "script" not in [tag for tag, _ in page.tags]
    assert "<script>alert(1)</script>" in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_report_needs_no_network_and_every_link_in_it_has_its_place(html):
    page = Page(html)
    assert all(reference.startswith("#") for reference in page.references)
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    assert not re.search(r"url\(\s*['\"]?(?!#)|@import", html)
    assert not page.attributes("link")
    assert len(html.encode()) < FILE_LIMIT_BYTES


def test_ids_are_unique_though_figures_meet_in_one_page(html):
    ids = Page(html).ids
    assert len(ids) == len(set(ids))


def test_tables_have_captions_and_headers_with_a_scope_and_figures_a_text(html):
    page = Page(html)
    assert len(page.attributes("table")) == len(page.attributes("caption"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.attributes("th"))
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in page.attributes("svg"))
    assert page.attributes("html") == [{"lang": "en"}]


@pytest.mark.shows("best")
def test_what_the_verdict_calls_better_is_marked(finished_study):
    html = render_report(with_verdict(finished_study, [("uot", "finetune", "birds", "better", False)]))
    for score, is_best, run_id in (
        ("90.0 ± 1.2", True, "cell-birds-uot"),
        ("70.0 ± 5.0", False, "cell-birds-finetune"),
    ):
        style = "number best" if is_best else "number"
        place = re.search(rf'<td class="{style}"><a href="#(r\d+)">{re.escape(score)}</a></td>', html)
        assert place is not None
        assert run_id in html[html.index(f'id="{place[1]}"') :].split("</tr>")[0]


@pytest.mark.shows("configuration")
def test_password_of_the_store_is_not_in_the_report(html):
    assert "secret" not in html
    assert "postgresql://me:***@db/mlflow" in html


@pytest.mark.shows("selections")
def test_random_selection_has_no_curve_of_similarity(html):
    labels = [attributes["aria-label"] for attributes in Page(html).attributes("svg")]
    assert [label.split(".")[0] for label in labels if label.startswith("Ranked")] == [
        "Ranked similarity of the source's groups to birds, by uot"
    ]


@pytest.mark.shows("about_target", "best", "grid", "missing", "problems")
def test_unfinished_study_shows_what_there_is_and_says_what_is_missing(unfinished_study):
    text = Page(render_report(unfinished_study)).text
    assert "What is missing the study has not reached its end" in text
    assert "birds · uot: 3 of 5 trials without a result" in text
    assert "70.0 ± 5.0" in text
    assert "the loss is not finite at epoch 2" in text
    assert "out of memory <b> more line two line three" in text
    assert "no trial has begun" in text
    assert "No model is registered yet." in text
    assert "not begun" in text


@pytest.mark.shows("cost_by_stage", "selections")
def test_study_before_its_first_trial_has_a_report(finished_study):
    nothing = {"run_id": None, "trials": (), "refits": (), "best": None, "best_val_score": None}
    cells = tuple(replace(cell, test_mean=None, test_ci95=None, **nothing) for cell in finished_study.cells)
    text = Page(render_report(replace(finished_study, cells=cells, selections=(), stage_seconds={}))).text
    assert "No groups of the source are selected yet" in text
    assert "No stage has recorded its time yet." in text


@pytest.mark.shows("problems")
def test_study_of_4000_trials_with_long_tracebacks_stays_small(finished_study, make_trial):
    trials = tuple(
        make_trial(f"t{number}", lr=number / 1000, state="failed", message="Error\n" + "x" * 5_000)
        for number in range(1, 1001)
    )
    cells = tuple(replace(cell, trials=trials, num_planned=1_000) for cell in finished_study.cells)
    html = render_report(replace(finished_study, cells=cells))
    assert len(html.encode()) < FILE_LIMIT_BYTES
    assert "4000 of the trials and refits have no score" in Page(html).text
    assert "The first 200 are listed." in html


@pytest.mark.shows("problems", "remarks")
def test_remarks_have_a_part_of_their_own_and_no_alarm(finished_study, make_trial, html):
    assert "remark" not in html
    cell = finished_study.cells[0]
    noted = make_trial("noted", message="computed in 4 parts <b>, and batch norm saw one part at a time")
    record = replace(finished_study, cells=(replace(cell, trials=(noted, *cell.trials)), *finished_study.cells[1:]))
    page = Page(render_report(record))
    assert "1 of the trials and refits have a score that counts" in page.text
    assert "computed in 4 parts <b>, and batch norm saw one part at a time" in page.text
    assert "run-noted" in page.text
    assert "No trial or refit diverged or failed." in page.text
    assert "#remarks" in page.references
    assert "remarks" in page.ids


@pytest.mark.shows("best", "grid", "problems")
def test_report_shows_the_number_of_groups_of_each_configuration(finished_study, make_trial):
    cell = finished_study.cell("birds", "uot")
    trials = tuple(make_trial(f"k{top_k}", top_k=top_k, source_weight=0.3) for top_k in (50, 100))
    failed = make_trial("k200", top_k=200, state="failed", source_weight=0.3)
    changed = replace(cell, trials=(*trials, failed), best=trials[1].hyperparameters)
    text = Page(render_report(replace(finished_study, cells=(changed,)))).text
    assert "uot lr 0.1, wd 1e-4, λ 0.3, K 100, head ×10" in text
    assert "trial lr 0.1, wd 1e-4, λ 0.3, K 200, head ×10 failed" in text
    assert "K 200 K 100 K 50 lr 0.1" in text


@pytest.mark.shows("selections", "overlap")
def test_report_shows_ranks_and_margins_of_a_decile(finished_study, make_selection):
    decile = make_selection(
        "birds",
        "uot",
        (4, 2),
        ("kite", "owl"),
        (0.5, 0.4),
        margin=0.25,
        ranks=(201, 202),
        margins={1: 0.1, 2: 0.25},
    )
    text = Page(render_report(replace(finished_study, selections=(decile,)))).text
    assert "rank uot 201 kite 202 owl" in text
    assert "uot 2 K 1: 0.1 K 2: 0.25 converged" in text


@pytest.mark.shows("missing")
def test_many_missing_parts_are_folded(finished_study):
    cells = tuple(replace(finished_study.cells[0], target=f"t{n}", trials=()) for n in range(300))
    text = Page(render_report(replace(finished_study, cells=cells))).text
    assert "and 295 more" in text
    assert "and 100 more" in text


def test_report_is_written_as_utf8_into_a_new_folder(finished_study, tmp_path):
    path = tmp_path / "new" / "report.html"
    write_report(finished_study, path)
    assert path.read_text(encoding="utf-8") == render_report(finished_study)
