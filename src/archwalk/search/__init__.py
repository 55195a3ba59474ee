"""Searching under a budget of evaluations.

In: a space or benchmark, an evaluator, what is known from source tasks. Out: the looks, in order, and the best
architecture among them. Next: ``archwalk.api`` has the verbs ``search`` and ``compare``.
"""

from archwalk.search.budget import Evaluations, Look
from archwalk.search.methods import METHODS
from archwalk.search.problem import Problem, make_problem

__all__ = ["METHODS", "Evaluations", "Look", "Problem", "make_problem"]
