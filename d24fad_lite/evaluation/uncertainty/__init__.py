"""How far a number can be trusted: intervals, paired comparisons, thresholds with a promised false-alarm rate."""
