"""Programs from a file, judged into a file of results with a summary."""
