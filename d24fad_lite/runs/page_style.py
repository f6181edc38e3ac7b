"""The look of a run's pages, light and dark: no script, no font from elsewhere."""

from __future__ import annotations

REPORT_CSS = """
:root {
  color-scheme: light dark;
  --page: #f6f5f1; --card: #ffffff; --ink: #22252a; --soft: #646a73; --line: #e3e1da; --accent: #0b6aa8;
  --good: #13795b; --good-bg: #e0f2ea; --bad: #b3431a; --bad-bg: #fbe7de; --wait: #7a6512; --wait-bg: #f6efd3;
  --code: #f3f2ee; --shade: #22252a38;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181c; --card: #1f2227; --ink: #e6e7ea; --soft: #a0a6b0; --line: #33373e; --accent: #6fb9ea;
    --good: #6fd3ae; --good-bg: #17392f; --bad: #f4a27f; --bad-bg: #472517; --wait: #e3cd73; --wait-bg: #3b3414;
    --code: #17191d; --shade: #000000a0;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; letter-spacing: -.015em; }
h2 { font-size: 1.2rem; margin: 2.75rem 0 .9rem; letter-spacing: -.005em; }
h3 { font-size: 1.02rem; margin: 0 0 .35rem; }
h4 { font-size: .92rem; margin: 1.1rem 0 .4rem; color: var(--soft); font-weight: 600; }
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: 2px; }
p { margin: .4rem 0; }
.kicker { color: var(--soft); margin: 0 0 .35rem; font-size: .92rem; }
.title { display: flex; gap: .9rem; align-items: center; flex-wrap: wrap; }
.notice { margin: .8rem 0 0; color: var(--soft); font-weight: 600; }
.facts { display: flex; flex-wrap: wrap; gap: 1px; margin: 1.6rem 0 0;
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
.facts div { flex: 1 1 auto; padding: .7rem .75rem; min-width: 0;
  box-shadow: 1px 0 0 var(--line), 0 1px 0 var(--line); }
.facts .wide { flex-basis: 100%; }
.facts dt { color: var(--soft); font-size: .8rem; }
.facts dd { margin: .1rem 0 0; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.versions { color: var(--soft); font-size: .86rem; margin-top: .7rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem 1.25rem;
  margin: 0 0 1rem; }
.card.failure { border-left: 4px solid var(--bad); }
/* A table wider than its box: a shadow at an edge says that there is more to scroll to. */
.scroll { overflow-x: auto; background:
  linear-gradient(90deg, var(--card) 40%, transparent) left / 2rem 100% no-repeat local,
  linear-gradient(270deg, var(--card) 40%, transparent) right / 2rem 100% no-repeat local,
  linear-gradient(90deg, var(--shade), transparent) left / .7rem 100% no-repeat scroll,
  linear-gradient(270deg, var(--shade), transparent) right / .7rem 100% no-repeat scroll, var(--card); }
.card > .scroll:last-child > table { margin-bottom: 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .94rem; }
.results table { width: auto; min-width: min(100%, 28rem); }
th { text-align: left; color: var(--soft); font-weight: 600; font-size: .84rem; padding: .35rem .8rem .45rem 0;
  border-bottom: 1px solid var(--line); white-space: nowrap; }
td { padding: .5rem .8rem .5rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
.results th, .results td { padding-right: 1.5rem; }
.results th { white-space: normal; vertical-align: bottom; }
.results table:has(th:nth-child(9)) { font-size: .88rem; }
.results table:has(th:nth-child(9)) :is(th, td):not(:last-child) { padding-right: 1rem; }
.results table:has(th:nth-child(13)) { font-size: .82rem; }
.results table:has(th:nth-child(13)) :is(th, td):not(:last-child) { padding-right: .7rem; }
td:last-child, th:last-child, .results td:last-child, .results th:last-child { padding-right: 0; }
.number { text-align: right; white-space: nowrap; }
.links { white-space: nowrap; font-size: .88rem; }
.links a { margin-left: .7rem; }
.problem { color: var(--soft); font-size: .88rem; overflow-wrap: anywhere; }
.pill { display: inline-block; border-radius: 99px; padding: .08rem .65rem; font-size: .84rem; font-weight: 600;
  white-space: nowrap; color: var(--wait); background: var(--wait-bg); }
.pill.completed { color: var(--good); background: var(--good-bg); }
.pill.failed, .pill.died, .pill.timeout { color: var(--bad); background: var(--bad-bg); }
.bar { display: block; height: 3px; border-radius: 2px; background: var(--accent); opacity: .55;
  margin: .25rem 0 0 auto; }
.verdict { font-size: 1.05rem; font-weight: 600; margin: .2rem 0 .5rem; }
.verdict + .headline { font-size: .95rem; font-weight: 400; color: var(--soft); }
.contents ul { margin: 0; padding: 0; list-style: none; }
.contents li { padding: .4rem 0; border-bottom: 1px solid var(--line); }
.contents li:last-child { border-bottom: 0; }
.contents a { font-weight: 600; }
.contents div { color: var(--soft); font-size: .92rem; }
.back { float: right; font-size: .84rem; font-weight: 400; }
.headline { font-size: 1.05rem; font-weight: 600; margin: .2rem 0 .6rem; }
pre { background: var(--code); border: 1px solid var(--line); border-radius: 8px; padding: .7rem .85rem;
  margin: .35rem 0; white-space: pre-wrap; overflow-wrap: anywhere;
  overflow-x: auto; font: .84rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.values { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; margin: .9rem 0 0; padding: 0; list-style: none;
  font-size: .92rem; }
.values span { color: var(--soft); }
.figures { display: grid; gap: 1rem; margin-top: 1rem; }
figure { margin: 0; }
figure img { display: block; max-width: 100%; height: auto; border-radius: 8px; border: 1px solid var(--line);
  background: #fbfbf9; }
figcaption { color: var(--soft); font-size: .84rem; margin-top: .3rem; }
footer { color: var(--soft); font-size: .86rem; margin-top: 3rem; }
@media (max-width: 860px) { main { padding: 1.5rem .9rem 3rem; } h1 { font-size: 1.55rem; }
  .results table:has(th:nth-child(9)) :is(th, td):not(:last-child) { padding-right: .6rem; } }
@media print { body { background: #fff; } .card { break-inside: avoid; } }
"""

# Plots are opaque light cards (figures/style.py), so only the page around them changes with the scheme.
NOTEBOOK_CSS = """
body { max-width: 62rem; margin: 0 auto !important; padding: 1.5rem 1rem 4rem !important; }
nav.series:empty { display: none; }
nav.series { display: flex; justify-content: space-between; gap: 1rem; flex-wrap: wrap; padding: .4rem 1rem;
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
nav.series a { color: var(--jp-content-link-color, #0b6aa8); }
.jp-RenderedHTMLCommon { overflow-wrap: break-word; }
math { font-size: 1.15em; }
/* An output begins where its code does, also one without a number; text does not stick to the table below it. */
.jp-OutputArea-prompt { padding: 5px !important; }
.jp-RenderedText { padding-left: 5px !important; }
.jp-OutputArea-child + .jp-OutputArea-child { margin-top: .5rem; }
.jp-OutputArea-output img { max-width: 100%; height: auto; border-radius: 6px; }
.jp-OutputArea-output { overflow-x: auto; }
.jp-RenderedText pre { word-break: normal !important; overflow-wrap: anywhere; }
.jp-InputArea-editor { overflow-x: auto !important; }
.jp-InputArea-editor .highlight pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.jp-RenderedText[data-mime-type="application/vnd.jupyter.stderr"] { background: transparent; opacity: .7; }
.jp-Cell-inputWrapper, .jp-CodeMirrorEditor, .highlight { max-width: 100%; }
@media (prefers-color-scheme: light) { body { --jp-mirror-editor-comment-color: #2f6f6f;
  --jp-mirror-editor-operator-color: #8a1fd6; --jp-mirror-editor-number-color: #007000; } }
@media (prefers-color-scheme: dark) { body { --jp-mirror-editor-comment-color: #7ab3b3;
  --jp-mirror-editor-operator-color: #c792ff; --jp-mirror-editor-keyword-color: #6cc070; } }
@media (max-width: 900px) {
  .jp-InputPrompt, .jp-OutputPrompt { display: none !important; }
  body { padding: .75rem .5rem 3rem !important; }
  /* An interval such as "0.82 [0.67, 0.93]" stays on one line; a table that is wider still can be scrolled. */
  .jp-RenderedHTML > div { overflow-x: auto; }
  .jp-RenderedHTML { padding-right: 0 !important; }
  .jp-RenderedHTML table.dataframe { font-size: 12px; white-space: nowrap; }
  .jp-RenderedHTML table.dataframe :is(td, th) { padding: .4em; white-space: nowrap; }
}
"""
