"""Surrogate tasks: tasks over a space that nobody lists, whose values a fitted or published model predicts.

In: a sample of measured architectures (``sample``, ``fit``) or published weights (``nasbench301``). Out: a
``SurrogateTask`` (``task``) and its file (``file``). Next: ``archwalk.tasks.registry`` opens it like a
benchmark.
"""
