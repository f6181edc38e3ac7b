"""Arrow keys within the picker's grid: one tab stop, as the toolbar pattern of the WAI-ARIA guide asks for.

Core ipywidgets tell the kernel of clicks, not of keys, so this part runs in the browser: a few lines of JavaScript in
an Output widget, which JupyterLab and Notebook 7 execute. Where a front end does not, every card stays a tab stop.
"""

from __future__ import annotations

import ipywidgets as w

# The views of a widget come into the page after its script, hence the wait. Hidden cards are passed over. JupyterLab
# would take arrow keys for its own cells, unless the grid asks it not to.
SCRIPT = """(() => {
  const arm = (grid) => {
    grid.dataset.d24Roving = 'on';
    grid.dataset.lmSuppressShortcuts = 'true';
    grid.setAttribute('role', 'toolbar');
    grid.setAttribute('aria-label', 'Candidates: arrow keys move, Enter or Space picks');
    let stop = null;
    const shown = () => [...grid.querySelectorAll('.d24-card')].filter(card => card.style.display !== 'none');
    const settle = () => {
      const cards = shown();
      if (!cards.includes(stop)) stop = cards.find(card => card.matches('.d24-cursor')) ?? cards[0];
      for (const card of cards) {
        card.tabIndex = card === stop ? 0 : -1;
        card.setAttribute('aria-pressed', card.classList.contains('d24-picked'));
      }
    };
    grid.addEventListener('focusin', (event) => { stop = event.target.closest('.d24-card') ?? stop; settle(); });
    grid.addEventListener('keydown', (event) => {
      const cards = shown(), here = cards.indexOf(event.target);
      if (here < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
      const columns = cards.filter(card => card.offsetTop === cards[0].offsetTop).length;
      const to = { ArrowRight: here + 1, ArrowLeft: here - 1, ArrowDown: here + columns, ArrowUp: here - columns,
        Home: 0, End: cards.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      cards[to]?.focus();
    });
    new MutationObserver(settle).observe(grid,
      { childList: true, subtree: true, attributes: true, attributeFilter: ['class', 'style'] });
    settle();
  };
  let looks = 0;
  const wait = setInterval(() => {
    document.querySelectorAll('.SCOPE .d24-grid:not([data-d24-roving])').forEach(arm);
    if (++looks > 100) clearInterval(wait);
  }, 100);
})();"""


def roving_focus(scope: str) -> w.Output:
    """A widget without a look of its own that gives the grid of the picker `scope` its arrow keys, in every view."""
    code = SCRIPT.replace("SCOPE", scope)
    run = {"output_type": "display_data", "data": {"application/javascript": code}, "metadata": {}}
    return w.Output(outputs=(run,), layout=w.Layout(height="0", margin="0", overflow="hidden"))
