"""The look of the widgets, on JupyterLab's own colours so that it follows light and dark themes.

The fall-backs behind the variables are for front ends without them, ink and ground together, for such a page may be
dark. Nothing is told by colour alone: a picked image has a check mark and its number, a focused control an outline, a
flagged support a sentence.
"""

from __future__ import annotations

SIZES = {"small": 84, "medium": 104, "large": 168}  # least side of a thumbnail in CSS px; they fill the row

STYLE = """<style>
.d24 { --ink: var(--jp-ui-font-color1, #1f2328); --soft: var(--jp-ui-font-color1, #3b4046);
  --ground: var(--jp-layout-color1, #ffffff); --tile: var(--jp-layout-color2, #eceef0);
  --line: var(--jp-border-color1, #8b9199); --mark: var(--jp-brand-color1, #0072b2); color: var(--ink);
  background: var(--ground); padding: 4px; box-sizing: border-box; max-width: 100%; }
.d24 .widget-html, .d24 .widget-html-content { min-width: 0; max-width: 100%; overflow-wrap: anywhere; }
.d24 .widget-html-content { line-height: 1.45; }
.d24 .d24-bar { flex-flow: row wrap; align-items: center; gap: 2px 8px; overflow: visible; }
.d24 .d24-group { flex-flow: row wrap; align-items: center; max-width: 100%; overflow: visible; }
.d24 .d24-body { flex-flow: row wrap; align-items: flex-start; gap: 12px; }
.d24 .d24-grid { flex: 3 1 300px; display: grid; gap: 6px; align-content: start; padding: 4px; box-sizing: border-box;
  grid-template-columns: repeat(auto-fill, minmax(var(--side), 1fr)); max-height: 486px; overflow-y: auto; }
.d24 .d24-side { flex: 1 1 230px; flex-flow: row wrap; align-items: flex-start; gap: 4px 12px; }
.d24 .d24-enlarged { flex: 0 1 262px; min-width: 200px; }
.d24 .d24-about { flex: 1 1 210px; min-width: 0; }
.d24 .d24-about .d24-bar { gap: 2px; }
.d24 .d24-shown { flex: 0 1 230px; min-width: 200px; }
.d24 .d24-facts { flex: 1 1 340px; min-width: 0; }
.d24-side-by-side { flex-flow: row wrap; align-items: flex-start; gap: 8px 16px; }
.d24-side-by-side > .d24 { flex: 1 1 500px; min-width: 0; }
.d24 button.jupyter-button:focus, .d24 input:focus, .d24 select:focus, .d24 .noUi-handle:focus,
.d24 .widget-readout:focus { outline: 3px solid #e69f00; outline-offset: 0; box-shadow: 0 0 0 1px #1f2328; }
.d24 input[type="checkbox"] { margin: 0 6px 0 0; align-self: center; }
.d24 button.d24-card { width: auto; min-width: 0; height: auto; margin: 0; padding: 100% 2px 4px 2px;
  box-sizing: border-box; border: 3px solid transparent; border-radius: 5px; font-size: 12px; line-height: 16px;
  color: var(--ink); background-color: var(--tile); background-repeat: no-repeat; background-origin: padding-box;
  background-position: top center; background-size: 100% auto; overflow: visible;
  white-space: normal; overflow-wrap: anywhere; text-align: center; align-self: stretch; }
.d24 button.d24-idle { opacity: 0.6; border: 1px dashed var(--line); }
.d24 .d24-path { flex: 1 1 300px; max-width: 620px; }
.d24 button.d24-card.d24-cursor { border-style: dashed; border-color: var(--ink); }
.d24 button.d24-card.d24-picked { border-style: solid; border-color: var(--mark); background-color: #0b4f79;
  color: #ffffff; font-weight: 700; }
.d24 button.d24-card.d24-picked.d24-cursor { border-style: dashed; border-color: var(--ink); }
.d24 .d24-status { font-size: 14px; color: var(--ink); }
.d24 .d24-status b { font-size: 16px; }
.d24 .d24-said { min-height: 1.45em; padding: 1px 8px; border-left: 4px solid transparent; }
.d24 .d24-said:not(:empty) { background: var(--tile); border-left-color: #e69f00; }
.d24 .d24-preview img, .d24 .d24-picture img { width: 100%; max-width: 320px; image-rendering: auto;
  border-radius: 4px; display: block; }
.d24 figcaption, .d24 .d24-note { font-size: 13px; color: var(--soft); }
.d24 .d24-wide { overflow-x: auto; }
.d24 table.d24-table { border-collapse: collapse; font-size: 13px; color: var(--ink); margin: 2px 0 6px 0; }
.d24 table.d24-table caption { text-align: left; color: var(--ink); padding: 2px 0; }
.d24 table.d24-table th, .d24 table.d24-table td { padding: 3px 8px 3px 0; text-align: left; white-space: nowrap; }
.d24 table.d24-table th { font-weight: 600; }
.d24 table.d24-table .d24-name { min-width: 90px; max-width: 180px; white-space: normal; overflow-wrap: anywhere; }
.d24 .d24-track { display: inline-block; width: 40px; height: 11px; background: var(--tile); vertical-align: middle;
  border: 1px solid var(--line); margin-right: 5px; }
.d24 .d24-fill { display: block; height: 100%; background: var(--mark); }
.d24 .d24-large { font-size: 15px; color: var(--ink); }
.d24 ul.d24-flags { margin: 2px 0 6px 0; padding-left: 20px; font-size: 13px; color: var(--ink); }
.d24 .d24-figure img { max-width: 100%; height: auto; border-radius: 4px; display: block; }
</style>"""


def pictures_style(scope: str, addresses: list[str]) -> str:
    """CSS that gives the k-th card of the picker `scope` the picture at the k-th address."""
    rules = [f'.{scope} button.d24-slot-{k}{{background-image:url("{a}")}}' for k, a in enumerate(addresses)]
    return f"<style>{''.join(rules)}</style>"


def size_style(scope: str, size: str) -> str:
    """CSS that sets the side of the thumbnails of the picker `scope`."""
    return f"<style>.{scope}{{--side:{SIZES[size]}px}}</style>"
