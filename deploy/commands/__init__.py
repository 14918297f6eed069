"""One module a command. Each has `add_parser(commands)` and `run(options, settings) -> exit code`.

A module imports only the standard library and `stepcoder.errors` at its top, so that help and refusals come at once.
"""
