"""The embedded benchmark ``digits``: its table, and the code that measured it.

In: scikit-learn's bundled digits. Out: seven vision tasks over the 4,096 cells, each number a network that
was trained. Read ``scenes``, ``tasks``, ``network``, ``training``, ``plan``, ``build``, ``table``, ``verify``
in this order. Opening the table imports none of them.
"""
