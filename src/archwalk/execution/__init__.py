"""Where work is done: processes on this machine, or a Ray cluster.

In: what is to be done, and with which resources. Out: events, answers, errors that say what to do. Next:
training, searches and studies hand their work over. Imports nothing, so that ``worker``, which every
evaluation of a Python function starts, costs little more than the function.
"""
