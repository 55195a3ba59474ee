"""Gaussian processes over architectures."""
