"""Distributional DQN with noisy heads: quantiles, noise, agent."""
