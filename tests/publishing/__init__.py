"""Publishing, against a real server on localhost.

- ``test_publish``: what arrives, and what is kept.
- ``test_refusals``: what is refused before anything is sent, or by the Hub.
- ``test_faults``: a Hub that fails, is changed in between, or is not there.
"""
