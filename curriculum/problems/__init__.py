"""The native format of problems: read strictly, and written so that the same problem gives the same bytes."""
