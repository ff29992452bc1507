"""Publishing, against a real server on localhost.

- ``test_publish``: what arrives, and what is kept.
- ``test_whole_results``: the folder of a purification, with the triggers that it recovered.
- ``test_pull_requests``: what is proposed to repositories of others.
- ``test_command``: what ``ngf-hub publish`` prints.
- ``test_refusals``: what is refused before anything is sent, or by the Hub.
- ``test_faults``: a Hub that fails, is changed in between, or is not there.
- ``test_change``: how much a method changed.
- ``test_fetched``, ``test_reproduce_plan``: what a published result may bring and make run.
"""
