"""Harness of the black-box tests: starts the real binary, scripted origins and raw clients.

It exists so that a test reads as one story (bytes in, bytes out, what was counted and logged);
everything in it is bounded and ends what it started. Owned by tests/e2e.
"""
