"""The benchmark: every task left out in turn, every method under the same draws, on whatever engine there is."""
