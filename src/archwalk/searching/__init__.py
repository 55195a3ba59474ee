"""Searching under a budget of evaluations.

In: a space or benchmark, an evaluator, what is known from source tasks. Out: the looks, in order, and the
best architecture among them. ``verbs`` has ``search`` and ``compare`` as users call them. Imports nothing,
so that ``worker``, which every evaluation of a Python function starts, costs little more than the function.
"""
