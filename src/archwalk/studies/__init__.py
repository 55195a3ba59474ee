"""The study: every pair of tasks, every regime, several seeds.

In: a benchmark, its tasks, a number of seeds, a preset. Out: a study folder whose tables hold one row an
evaluated agent, and one an evaluation during training. Next: ``archwalk.analysis`` turns them into
statistics, ``archwalk.reporting`` into a report.
"""
