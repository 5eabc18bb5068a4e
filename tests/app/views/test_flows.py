import pytest
from streamlit.testing.v1 import AppTest


def draw():
    from app.views import flows

    flows.page()


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


def test_flows_shows_the_newest_thousand(shop, open_page):
    page = open_page(shop)
    assert len(page.dataframe[0].value) == 1000
    assert "The newest 1,000 rows; there are more." in said(page)


def test_flows_takes_the_filter_from_the_address(shop, open_page):
    page = open_page(shop, q="verdict = denied and src.workload = scanner and dst.port = 5432")
    table = page.dataframe[0].value
    assert set(table["src"]) == {"lab/scanner"}
    assert set(table["rule"]) == {"ingress: GlobalNetworkPolicy isolate-lab of tier security, rule 0"}
    assert page.get_by_key("verdicts").value == ["denied"]


def test_flows_tells_the_story_of_one_flow(shop, open_page):
    text = said(open_page(shop, q="src.workload = payments and dst.workload = postgres"))
    assert "shop/payments → shop/postgres, 5432/TCP" in text
    assert "Hit 1: pass" in text
    assert "ingress: GlobalNetworkPolicy isolate-lab of tier security, rule 1" in text
    assert "Hit 2: allow" in text
    assert "logged by the rule itself" in text
    assert "10.96.0.15:5432" in text
    assert "fd00" not in text


def test_flows_tells_what_staged_policies_would_change(shop, open_page):
    page = open_page(shop, q="pending_verdict = denied")
    assert {tuple(one) for one in page.dataframe[0].value["pending"]} == {("denied",)}
    text = said(page)
    by = "ingress: StagedNetworkPolicy shop/postgres of tier default, rule 1"
    assert f"With the staged policies in force it would be denied by {by}" in text
    assert text.index("security: pass") < text.index("platform: pass") < text.index("default: deny")
    assert "would be denied, and was allowed" in text


def test_flows_tells_what_staged_policies_would_let_in(shop, open_page):
    text = said(open_page(shop, q="pending_verdict = allowed and verdict = denied"))
    assert "it would be allowed by ingress: StagedGlobalNetworkPolicy web of tier default, rule 0" in text


def test_flows_says_where_staged_policies_change_nothing(shop, open_page):
    text = said(open_page(shop, q="pending_verdict = allowed and verdict = allowed"))
    assert "allowed, as it was" in text
    assert "With the staged policies" not in text


def test_flows_is_silent_where_nothing_is_staged(shop, open_page):
    page = open_page(shop, q="src.workload = grafana")
    assert "staged" not in said(page)
    assert "pending" not in page.dataframe[0].value


def test_flows_shows_ipv6_as_text(shop, open_page):
    text = said(open_page(shop, q="dst.workload = api6"))
    assert "[fd00:10:96::20]:8443" in text
    assert "fd00:10:244:1::11" in text


def test_flows_verdict_buttons_edit_the_filter(shop, open_page):
    page = open_page(shop, q="src.namespace = shop")
    page.get_by_key("verdicts").set_value(["denied"]).run()
    assert page.get_by_key("q").value == "verdict = denied and src.namespace = shop"
    assert page.query_params["q"] == "verdict = denied and src.namespace = shop"


def test_flows_namespace_edits_the_filter(shop, open_page):
    page = open_page(shop)
    page.get_by_key("namespace").select("lab").run()
    assert page.get_by_key("q").value == "namespace = lab"
    page.get_by_key("clear").click().run()
    assert page.get_by_key("q").value == ""
    assert "q" not in page.query_params


def test_flows_follows_the_address(shop, open_page):
    """The browser's way back changes the address under a page that is open."""
    page = open_page(shop, q="src.namespace = shop")
    page.query_params["q"] = "src.namespace = lab"
    page.run()
    assert page.get_by_key("q").value == "src.namespace = lab"


def test_flows_marks_where_a_filter_is_wrong(shop, open_page):
    page = open_page(shop, q="verdict = denied and colour = red")
    first, second = page.code[0].value.split("\n")
    assert first[second.index("^") :] == "colour = red"
    assert not page.dataframe


def test_flows_says_that_nothing_matches(shop, open_page):
    page = open_page(shop, q="src.namespace = nowhere")
    assert "No flow matches" in said(page)
    assert not page.dataframe


def test_flows_offers_files(shop, open_page):
    page = open_page(shop)
    assert [button.label for button in page.download_button] == ["CSV", "Parquet"]


def test_flows_waits_for_the_first_interval(nothing, open_page):
    assert "Waiting for the first interval" in said(open_page(nothing))


def test_flows_says_that_the_ledger_is_down(open_page):
    assert "The ledger does not answer" in said(open_page("http://127.0.0.1:9"))
