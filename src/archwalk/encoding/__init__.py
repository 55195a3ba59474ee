"""Architectures of every space in one language: words for operations, one encoder for their graphs.

In: spaces. Out: vectors of architectures that mean the same whatever space they come from. Next:
``archwalk.searching.incontext`` learns tasks with them.
"""
