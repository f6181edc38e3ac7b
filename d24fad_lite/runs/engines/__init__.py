"""One door for executors: where the cells of a benchmark are computed."""
