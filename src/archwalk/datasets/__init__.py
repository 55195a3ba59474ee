"""How the embedded benchmark was measured."""
