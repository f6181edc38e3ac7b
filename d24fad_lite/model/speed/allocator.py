"""Keep freed memory in the process: on Linux every large feature map is otherwise fetched anew from the kernel."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of the GNU C library
LARGEST_KEPT = (64 * 2**20, 32 * 2**20)  # bytes of one block; older libraries refuse more than the second
NEVER = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Let malloc reuse freed blocks of up to 64 MiB in place of returning them to the system after every layer.

    The kernel clears each page that it hands out, which costs about a tenth of a pass on the CPU. The peak of memory
    stays about the same, the process just holds on to it. Once per process; nothing happens without the GNU C library.

    Returns
    -------
    bool : whether the library took the settings.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return any(mallopt(M_MMAP_THRESHOLD, size) for size in LARGEST_KEPT) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))
