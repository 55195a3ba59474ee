"""Freed memory is kept for what comes next, and given back when asked."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from archwalk.memory import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(10_000_000)  # 40 MB, 9,766 pages of 4 kB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keep":
    keep_memory()
faults()
print(faults())
"""


def faults(*asked: str, **environment: str) -> int:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", PROGRAM, *asked]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_is_freed_is_used_again_unless_the_environment_says_otherwise() -> None:
    assert faults("keep") < 2_000
    assert faults("no") > 5_000
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="0") > 5_000


def test_memory_is_counted_and_given_back() -> None:
    """In a process of its own, which keeps nothing of other tests."""
    program = """
import torch
from archwalk.memory import keep_memory, release_memory, resident_bytes
keep_memory()
release_memory()
before = resident_bytes()
held = torch.ones(16 * 2**20)  # 64 MB
print(resident_bytes() - before)
del held
release_memory()
print(resident_bytes() - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    held, left = (int(line) / 2**20 for line in done.stdout.split())
    assert held > 60
    assert left < 20
