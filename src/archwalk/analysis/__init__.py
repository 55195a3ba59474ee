"""Numbers in, numbers out: statistics, agreement between tasks, training curves.

In: arrays of results, the seed as the first axis. Out: estimates with intervals. Next:
``archwalk.reporting`` shows them.
"""
