"""Studies: several arms, each run with several seeds, and what their differences say."""
