"""Widgets for choosing supports: the picker, the inspector, and what they are built of."""
