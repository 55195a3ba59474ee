"""A model of the reward, and walks planned in it, between evaluations."""
