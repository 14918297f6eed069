"""What runs on the untrusted side: the warm fork server and the harness of a program.

Everything here is standard library only and is imported by a lean interpreter that may
be another version than the trainer's. Nothing here ever sees an expected output.
"""
