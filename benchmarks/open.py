"""How long opening a benchmark file takes in a new process, imports left aside.

python benchmarks/open.py [FILE]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from archwalk.tasks import load_benchmark

CODE = """
import sys, time
from archwalk.tasks.table import open_benchmark
began = time.perf_counter()
open_benchmark(sys.argv[1])
print(time.perf_counter() - began)
"""

with tempfile.TemporaryDirectory() as folder:
    if len(sys.argv) > 1:
        file = Path(sys.argv[1])
    else:
        file = load_benchmark("synthetic").save(Path(folder) / "synthetic.parquet")
    command = [sys.executable, "-c", CODE, str(file)]
    times = [float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(9)]
    low, middle, high = (1e3 * f(times) for f in (min, statistics.median, max))
    print(f"{file.name}, {file.stat().st_size / 1e6:.2f} MB, first opening in a process:")
    print(f"{middle:.0f} ms (median of 9, {low:.0f} to {high:.0f})")
