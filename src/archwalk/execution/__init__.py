"""Where work is done: in this process, in processes on this machine, or on a Ray cluster.

In: what is to be done, and with which resources. Out: events, answers, errors that say what to do. Next:
training, searches, studies and the build of a data set hand their work over. Imports nothing, so that
``worker``, which every evaluation starts, costs little more than the evaluation.
"""
