"""Unattended work: the notebook series, a grid of experiments, and the pages that report them."""
