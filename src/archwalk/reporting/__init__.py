"""The report: figures, tables and sentences from a study folder.

In: a study folder, finished or not. Out: ``report.html``, which opens offline, ``figures/`` and ``tables/``.
Nothing comes after it.
"""
