"""Colours and type, the same on every chart, map and table.

The three verdicts differ in lightness as well as in hue, and on the map in the form of the line too, so that
they can be told apart without seeing red and green.
"""

from __future__ import annotations

from model import enums

ALLOWED = "#2a9d8f"
DENIED = "#c1121f"
UNKNOWN = "#d9a441"

INK = "#1f2933"
MUTED = "#66727f"
LINE = "#dfe4e8"
SHADE = "#f5f7f9"
PAPER = "#ffffff"
PRIMARY = "#146c7c"

FONT = "Inter, 'Segoe UI', 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"

BY_VERDICT = {
    enums.Verdict.ALLOWED.value: ALLOWED,
    enums.Verdict.DENIED.value: DENIED,
    enums.Verdict.UNKNOWN.value: UNKNOWN,
}
"""Verdict to its colour, in the order of a legend."""

LINES = {
    enums.Verdict.ALLOWED.value: "solid",
    enums.Verdict.DENIED.value: "dashed",
    enums.Verdict.UNKNOWN.value: "dotted",
}
"""Verdict to how its line is drawn on the map."""

_MARK = f"""\
  <g fill="none" stroke-width="3" stroke-linecap="round">
    <path d="M3 8h9c5 0 4 12 9 12h4" stroke="{ALLOWED}"/>
    <path d="M3 20h6" stroke="{DENIED}"/><path d="M18 8h7" stroke="{PRIMARY}"/>
  </g>
"""

# An icon by name would come from a server of somebody else's.
ICON = f'<svg xmlns="http://www.w3.org/2000/svg" width="28" height="28" viewBox="0 0 28 28">{_MARK}</svg>'

LOGO = f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="148" height="28" viewBox="0 0 148 28">
{_MARK}
  <text x="34" y="20.5" font-family="Helvetica, Arial, sans-serif" font-size="18" font-weight="700"
    fill="{INK}">Flowledger</text>
</svg>"""

STYLE = f"""
<style>
  [data-testid="stAppViewBlockContainer"], .stMainBlockContainer {{ padding-top: 4.2rem; padding-bottom: 3rem;
    padding-left: 2.5rem; padding-right: 2.5rem; max-width: 1500px; }}
  /* What is being refreshed stays as it is until the new answer is there. */
  [data-stale="true"] {{ opacity: 1 !important; transition: none !important; }}
  [data-testid="stStatusWidget"] {{ display: none; }}
  [data-testid="stText"] {{ overflow-wrap: anywhere; }}
  /* Streamlit keeps room for a caption below each chart. */
  [data-testid="stVegaLiteChart"] {{ margin-bottom: -18px; }}
  [class*="st-key-figure-"] {{ padding: .7rem .95rem .75rem; }}
  [data-testid="stMetricLabel"] {{ color: {MUTED}; }}
  .st-key-figure-allowed [data-testid="stMetricValue"] {{ color: #1d7a6f; }}
  .st-key-figure-denied [data-testid="stMetricValue"] {{ color: {DENIED}; }}
  [class*="st-key-edge-"] {{ border-top: 1px solid {LINE}; padding: .4rem 0; }}
  [class*="st-key-edge-"] [data-testid="stText"] {{ font-size: .93rem; }}
  .st-key-story [data-testid="stText"] {{ font-size: .93rem; }}
  [data-testid="stCaptionContainer"] {{ margin-bottom: 0 !important; opacity: 1; }}
  [data-testid="stCaptionContainer"] p {{ color: {MUTED}; margin-bottom: 0; }}
  [class*="st-key-denials"] [data-testid="stPageLink"] p {{ color: {PRIMARY}; font-weight: 600; }}
  [class*="st-key-denials"] [data-testid="stPageLink"] p::after {{ content: " →"; }}
  .st-key-wrong [data-testid="stCode"] pre {{ background: #fdf1f1; border-left: 3px solid {DENIED}; }}
  .st-key-map svg {{ max-width: 100%; }}
</style>
"""
"""What the theme has no option for. Nothing from a cluster goes in here."""
