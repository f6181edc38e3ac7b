"""The look of the intake report: light and dark, no script, no font from elsewhere."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --page: #f6f5f1; --card: #ffffff; --ink: #22252a; --soft: #5d636c; --line: #e3e1da;
  --good: #13795b; --bad: #b3431a; --bad-bg: #fbe7de; --wait: #7a6512; --wait-bg: #f6efd3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181c; --card: #1f2227; --ink: #e6e7ea; --soft: #a0a6b0; --line: #33373e;
    --good: #6fd3ae; --bad: #f4a27f; --bad-bg: #472517; --wait: #e3cd73; --wait-bg: #3b3414;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; max-width: 48rem; }
.soft, .notice { color: var(--soft); font-weight: 400; font-size: .9rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: 1px; margin: 1.4rem 0 .8rem;
  background: var(--line); border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
.facts div { padding: .7rem .9rem; background: var(--card); }
.facts dt { color: var(--soft); font-size: .85rem; }
.facts dd { margin: 0; font-size: 1.3rem; font-weight: 600; font-variant-numeric: tabular-nums; }
dd.good { color: var(--good); } dd.bad { color: var(--bad); } dd.wait { color: var(--wait); }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-size: .84rem; line-height: 1.25; }
th, td { padding: .45rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.name { overflow-wrap: anywhere; min-width: 7.5rem; }
td.long { overflow-wrap: anywhere; min-width: 15rem; }
tr:last-child td { border-bottom: 0; }
th.number, td.number { text-align: right; }
tr.bad td { background: var(--bad-bg); } tr.wait td { background: var(--wait-bg); }
tr.bad .pill, tr.wait .pill { background: none; padding: 0; }
.pill { border-radius: 99px; padding: .05rem .6rem; font-size: .84rem; font-weight: 600; white-space: nowrap; }
.pill.bad { color: var(--bad); background: var(--bad-bg); }
.pill.wait { color: var(--wait); background: var(--wait-bg); }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .8rem; }
figure { margin: 0; min-width: 0; }
figure img, .absent { width: 100%; height: 10rem; object-fit: contain; background: #000; border-radius: 6px;
  display: block; }
.absent { display: grid; place-items: center; background: var(--bad-bg); color: var(--bad); font-size: .9rem; }
figcaption { font-size: .78rem; color: var(--soft); overflow-wrap: anywhere; margin-top: .2rem;
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; }
figcaption .soft { margin-left: .4rem; font-size: inherit; }
@media (max-width: 60rem) {
  table { font-size: .86rem; } th { font-size: .78rem; } th, td { padding: .35rem .4rem; }
  td.name { min-width: 6rem; }
}
@media print { .scroll, .facts { break-inside: avoid; } figure { break-inside: avoid; } }
"""
