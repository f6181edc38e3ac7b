"""Images on disk: decoding, folder layouts, benchmarks of tasks, episodes and the procedural sample world.

Import from the modules themselves, for example `from d24fad_lite.data.benchmark import open_benchmark`.
"""
