"""Making agents: the loop, greedy evaluation, one folder a run.

In: a benchmark, a task, settings, a seed. Out: a run folder with weights and metrics. Next:
``archwalk.api`` moves what was trained to another task, ``archwalk.studies`` to every other one.
"""
