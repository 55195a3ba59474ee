"""A model of the reward, planned in: network, plan, agent."""
