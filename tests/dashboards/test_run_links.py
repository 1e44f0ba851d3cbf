import re
from dataclasses import replace

import pytest

from pretrieve_dashboards import render_report
from pretrieve_dashboards.wording import run_page, runs_page


@pytest.mark.parametrize(
    "address", ["http://mlflow:5000", "http://me:secret@mlflow:5000/", "http://me:***@mlflow:5000"]
)
def test_server_shows_its_runs_at_its_own_address_without_a_password(finished_study, address):
    record = replace(finished_study, tracking_uri=address)
    assert run_page(record, "ab12") == "http://mlflow:5000/#/experiments/1/runs/ab12"
    assert run_page(record, None) == ""


def test_database_has_no_page(finished_study):
    assert (run_page(finished_study, "ab12"), runs_page(finished_study, "a", "b")) == ("", "")


@pytest.mark.shows("configuration", "cost_by_method")
def test_every_score_of_a_report_from_a_server_leads_to_its_run(finished_study):
    html = render_report(replace(finished_study, tracking_uri="http://mlflow:5000"))
    runs = "http://mlflow:5000/#/experiments/1/runs"
    for text, run_id in [("90.0 ± 1.2", "cell-birds-uot"), ("75.0", "run-birds-uot-0"), ("50.0", "run-birds-uot-1")]:
        assert f'<a href="{runs}/{run_id}">{text}</a>' in html
    assert f'<a class="id" href="{runs}/study-run">study-run</a>' in html
    assert f"{runs}?searchFilter=tags.%60pretrieve.method%60%20%3D%20%27uot%27" in html


@pytest.mark.shows("refits", "trials")
def test_every_score_of_a_report_from_a_database_leads_to_where_its_run_is_stated(finished_study):
    html = render_report(finished_study)
    place = re.search(r'<a href="#(r\d+)">75\.0</a>', html)
    assert place is not None
    row = html[html.index(f'id="{place[1]}"') :].split("</tr>")[0]
    assert "run-birds-finetune-0" in row
