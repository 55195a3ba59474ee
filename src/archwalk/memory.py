"""What the C library does with memory that has been freed, and how much a process holds.

In: nothing. Out: speed, and bytes. Next: whatever trains networks.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h of the GNU C library
_LIMITS = (2**30, 2**25)  # bytes; versions before 2.35 allow the second alone


def keep_memory() -> None:
    """Let the C library keep freed memory for what is allocated next, as long as the process lives.

    The tensors of an update have up to tens of megabytes. Memory of such a size is given back to the system
    when it is freed, and comes back page by page, each page zeroed: at the preset ``paper`` a sixth of the
    time (docs/performance.md). The process holds as much as it ever needed at once.

    Does nothing with another C library than GNU's, or where the environment already says what it shall do
    (``MALLOC_MMAP_THRESHOLD_``, ``MALLOC_TRIM_THRESHOLD_`` or ``GLIBC_TUNABLES``).
    """
    own = {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"}
    if sys.platform != "linux" or own & os.environ.keys():
        return
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        if any(library.mallopt(_MMAP_THRESHOLD, limit) for limit in _LIMITS):
            library.mallopt(_TRIM_THRESHOLD, _LIMITS[0])


def release_memory() -> None:
    """Give freed memory back to the system, of which the C library keeps the more the longer a process runs.
    Does nothing where the C library has no such call."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident_bytes() -> int:
    """Memory of the calling process, without what it shares: the object store is counted by itself."""
    with open("/proc/self/statm") as file:
        _, resident, shared = map(int, file.read().split()[:3])
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")
