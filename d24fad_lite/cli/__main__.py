"""`python -m d24fad_lite.cli`, where the script `d24fad` is not on the path."""

from __future__ import annotations

from d24fad_lite.cli import main

main()
