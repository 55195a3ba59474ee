"""An agent that is trained in a model of the reward, between evaluations."""
