"""The page that follows a running search or study.

In: a folder that somebody else writes. Out: a page on the loopback address, read again as the folder changes;
nothing is written. Nothing comes after it.
"""
