"""What is known of other tasks: what users name, as sources.

``source`` says what a source is; ``past`` reads what a user names, by way of ``trials``, ``columns`` and
``fitting``; ``known`` adds what comes with the package; ``snapshot`` keeps it in the folder of a search;
``tables`` makes sources for a comparison; ``opinion`` asks a trained agent.
"""
