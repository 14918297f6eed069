"""What a run learned, for a person: a local web page, a page to send, a program in the terminal.

Runs are read, never written. Nothing that a run holds is trusted: it is text wherever it is shown.
"""
