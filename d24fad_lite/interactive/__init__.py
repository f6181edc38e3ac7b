"""Choosing supports by hand and eye: a headless selection, strategies, live results, and widgets that show them."""
