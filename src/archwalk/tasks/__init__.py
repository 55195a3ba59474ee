"""Measured architectures.

In: official releases and anybody's tables. Out: ``Benchmark``, architectures × tasks × metrics × splits ×
epochs. Next: ``archwalk.envs`` turns one task's reward column into a decision process.
"""

from archwalk.tasks.metrics import Column, Metric
from archwalk.tasks.registry import benchmark_names, load_benchmark
from archwalk.tasks.table import Benchmark, open_benchmark

__all__ = ["Benchmark", "Column", "Metric", "benchmark_names", "load_benchmark", "open_benchmark"]
