"""The judge over HTTP: one process a machine, in front of a local pool. Needs the extra `serve`."""
