"""The intake report: what a folder of data holds, before anything is trained on it."""
