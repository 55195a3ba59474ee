"""Ape-X DQN: exploration, replay, targets and the learner; planned targets."""
