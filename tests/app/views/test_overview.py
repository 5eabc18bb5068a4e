import urllib.parse

import pytest
from streamlit.testing.v1 import AppTest

from store import filters, queries


def draw():
    import streamlit as st

    from app.views import flows, overview

    st.navigation([st.Page(overview.page, title="Overview", default=True), flows.here()]).run()


@pytest.fixture
def open_page(monkeypatch):
    def run(url: str, **query: str) -> AppTest:
        monkeypatch.setenv("FLOWLEDGER_APP_LEDGER", url)
        page = AppTest.from_function(draw, default_timeout=30)
        page.query_params.update(query)
        page.run()
        assert not page.exception
        return page

    return run


def said(page: AppTest) -> str:
    return "\n".join(str(e.value) for e in [*page.text, *page.markdown, *page.caption, *page.code])


def test_overview_shows_key_figures(shop, open_page):
    page = open_page(shop)
    figures = {metric.label: metric.value for metric in page.metric}
    assert list(figures) == ["Allowed", "Denied", "Unanswered", "Volume", "Complete", "Reporting"]
    assert figures["Reporting"] == "3 nodes"
    assert figures["Complete"] == "99.98 %"
    assert "214 on node-b" in said(page)


def test_overview_names_denying_rules_in_words(shop, open_page):
    text = said(open_page(shop))
    assert "lab/scanner → shop/postgres" in text
    assert "ingress: GlobalNetworkPolicy isolate-lab of tier security, rule 0" in text
    assert "ingress: end of tier default, no policy allowed it" in text
    assert "egress: end of tier default, no policy allowed it" in text
    assert "ingress|" not in text


def test_overview_links_to_the_flows_of_an_edge(shop, open_page):
    links = open_page(shop, range="15m").get("page_link")
    assert links
    for link in links:
        assert link.proto.label == "flows"
        query = urllib.parse.parse_qs(link.proto.query_string)
        assert query["range"] == ["15m"]
        filters.compile(query["q"][0])


def test_overview_shows_what_staged_policies_would_deny(shop, open_page):
    page = open_page(shop, range="15m")
    text = said(page)
    assert "Would be denied by staged policies" in text
    assert "shop/nightly-report → shop/postgres" in text
    assert "ingress: StagedNetworkPolicy shop/postgres of tier default, rule 1" in text
    (link,) = [one.proto for one in page.get("page_link") if "pending_verdict" in one.proto.query_string]
    asked = urllib.parse.parse_qs(link.query_string)["q"][0]
    assert asked.startswith("verdict = allowed and pending_verdict = denied and src.namespace = shop")
    filters.compile(asked)


def test_overview_is_silent_where_nothing_staged_would_deny(shop, open_page, monkeypatch):
    none = queries.newly_denied
    monkeypatch.setattr(queries, "newly_denied", lambda *of, **more: none(*of, **more).slice(0, 0))
    assert "staged" not in said(open_page(shop))


def test_overview_draws_the_map(shop, open_page):
    (chart,) = open_page(shop).get("graphviz_chart")
    assert 'label="postgres"' in chart.proto.spec


def test_overview_takes_the_range_from_the_address(shop, open_page):
    assert open_page(shop, range="24h").get_by_key("range").value == "24h"


def test_overview_ignores_a_range_that_is_none(shop, open_page):
    assert open_page(shop, range="fortnight").get_by_key("range").value == "1h"


def test_overview_waits_for_the_first_interval(nothing, open_page):
    text = said(open_page(nothing))
    assert "Waiting for the first interval" in text
    assert "flowledger collect" in text


def test_overview_says_that_the_ledger_is_down(open_page):
    text = said(open_page("http://127.0.0.1:9"))
    assert "The ledger does not answer" in text
    assert "flowledger up" in text


def test_overview_says_what_is_wrong_with_the_url(open_page):
    assert "is not one of" in said(open_page("gopher://127.0.0.1:9"))
