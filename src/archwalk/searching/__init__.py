"""Searching under a budget of evaluations.

In: a space or benchmark, an evaluator, what is known from source tasks. Out: the evaluations, in order, and
the best architecture among them. ``verbs`` has ``search`` and ``compare`` as users call them.
"""
