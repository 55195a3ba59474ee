"""The report of a search: what was found, on which way, what mattered, what failed, what it cost.

In: the folder of a search, of one task or several, finished or not. Out: ``report.html``, which opens
offline, with its figures and tables beside it. Nothing comes after it.
"""
