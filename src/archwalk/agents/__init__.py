"""The learner: a Q-network over the candidates, exploration, replay, updates.

In: a ``WalkProcess`` and tokens. Out: transitions, targets, updated weights. Next: ``archwalk.training``
puts the parts into a loop.
"""
