"""Comparisons of methods: ``comparison`` is one target, ``compare`` many; ``judge`` scores what was found,
``clairvoyant`` says how much can be learned, ``verdicts`` tests which method is better."""
