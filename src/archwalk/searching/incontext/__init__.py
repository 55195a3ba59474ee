"""Learning to search in context: one network, trained on many tasks, reads what was evaluated of a new one.

In: sources of many tasks and spaces. Out: a file with an agent. Next: the method ``in-context`` suggests with
it, and ``archwalk agents`` lists, trains and shows such files.
"""
