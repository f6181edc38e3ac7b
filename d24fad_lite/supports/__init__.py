"""Choosing supports and judging a choice, without widgets."""
