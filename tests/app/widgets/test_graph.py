import re

import pytest

from app.widgets import graph, palette


def row(src, dst, verdict="allowed", src_kind="pod", dst_kind="pod", size=1000):
    def space(name, kind):
        return name.split("/")[0] if kind == "pod" else ""

    return {
        "src": src, "dst": dst, "src_kind": src_kind, "dst_kind": dst_kind, "verdict": verdict,
        "src_namespace": space(src, src_kind), "dst_namespace": space(dst, dst_kind),
        "connections": 3, "bytes": size,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        pytest.param("web", '"web"', id="plain"),
        pytest.param('a"]; x[label="', r'"a\"]; x[label=\""', id="quote"),
        pytest.param("a\\", '"a\\\\"', id="backslash-at-the-end"),
        pytest.param('a\\"', '"a\\\\\\""', id="backslash-and-quote"),
        pytest.param("\\N", '"\\\\N"', id="escape-of-the-node-name"),
        pytest.param("<b>x</b>", '"&lt;b&gt;x&lt;/b&gt;"', id="markup"),
        pytest.param("&quot;]", '"&amp;quot;]"', id="entity"),
        pytest.param("a\nb\0c", '"a b c"', id="control"),
        pytest.param("naïve-日本", '"naïve-日本"', id="letters"),
    ],
)
def test_quote_keeps_a_name_inside(text, quoted):
    assert graph.quote(text) == quoted


HOSTILE = 'a"]; x[label="<script>alert(1)</script>\\'


def test_dot_lets_no_hostile_name_out():
    drawing = graph.dot([row(f"{HOSTILE}/{HOSTILE}", "shop/web", "denied")])
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", drawing)
    assert "script" not in outside
    assert "x[" not in outside
    assert outside.count('"') == 0
    assert outside.count("{") == outside.count("}")


def test_dot_frames_workloads_by_namespace():
    drawing = graph.dot([row("shop/web", "shop/cart"), row("lab/scanner", "shop/web", "denied")])
    assert drawing.count("subgraph cluster_") == 2
    assert 'label="web"' in drawing
    assert 'label="shop/web"' not in drawing


def test_dot_draws_verdicts_apart():
    drawing = graph.dot([row("a/x", "a/y"), row("a/x", "a/y", "denied"), row("a/x", "a/y", "unknown")])
    for verdict, colour in palette.BY_VERDICT.items():
        assert f'color="{colour}" style={palette.LINES[verdict]}' in drawing


def test_dot_puts_the_outside_on_both_edges():
    drawing = graph.dot(
        [
            row("203.0.113.5", "shop/web", src_kind="public"),
            row("203.0.113.6", "shop/web", src_kind="public"),
            row("shop/web", "203.0.113.5", dst_kind="public"),
        ]
    )
    assert drawing.count('label="internet"') == 2
    assert "6 connections" in drawing


def test_dot_draws_many_workloads_by_namespace():
    drawing = graph.dot([row(f"n{i % 5}/w{i}", f"n{(i + 1) % 5}/v{i}") for i in range(60)])
    assert drawing.count("tooltip=") < 40
    assert 'label="n3"' in drawing
    assert "subgraph" not in drawing


def test_dot_shortens_a_long_name():
    drawing = graph.dot([row(f"shop/{'a' * 120}", "shop/web")])
    assert f'label="{"a" * 35}…" tooltip="{"a" * 120}"' in drawing


def test_dot_says_what_it_leaves_out():
    drawing = graph.dot([row(f"n{i}/a", f"n{i + 1}/b") for i in range(400)])
    assert drawing.count(" -> ") == graph.MOST_LINES
    assert 'label="the busiest 150 of 400 lines"' in drawing


def test_dot_is_the_same_whatever_the_order():
    """A drawing that jumps at each refresh cannot be read."""
    rows = [row("a/x", "a/y"), row("a/y", "b/z", "denied"), row("b/z", "a/x", size=9)]
    assert graph.dot(rows) == graph.dot(rows[::-1])


def test_dot_of_nothing_is_a_drawing():
    assert graph.dot([]).endswith("}")
