"""The same work on a Ray cluster: Ape-X as processes that find each other over the network.

In: what a run needs, and where a cluster is. Out: rows, checkpoints and weights as from one process. Next:
``archwalk.api`` trains with it; ``archwalk.studies`` and ``archwalk.searching`` send their own work there.
Nothing here is imported unless it is asked for.
"""
