"""Presets as TOML: ``paper`` (the published settings), ``laptop`` (ours), ``quick`` (demos and tests)."""
