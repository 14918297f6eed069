"""Programs that measure: each prints a ratio against a peer or a limit, in one run."""
