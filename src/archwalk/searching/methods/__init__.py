"""The search methods, one file each; every file ends with the ``METHOD`` that
``archwalk.searching.registry`` lists.

In: a ``Problem``, a ``History``, a seed. Out: the id to evaluate next, never one that is visited. Every
method is a
function of these three alone: it replays its own past from the history, so that a search that was killed goes
on as if nothing had happened. Next: ``archwalk.searching.loop`` evaluates what they suggest.
"""
