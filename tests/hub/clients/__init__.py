"""Programs that use the Hub as anybody would; tests run them as subprocesses.

Each is given its endpoint, token and cache by the environment only, and prints
one JSON object with what it saw.
"""
