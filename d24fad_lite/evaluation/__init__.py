"""Evaluation: metrics, support draws, protocols and the report."""
