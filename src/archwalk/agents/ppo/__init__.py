"""PPO with action masks: rollout, objective, agent."""
