"""The whole product on a Hub that fails, and killed at any moment.

- ``world``: a Hub with tiny models and images, and what each command gives on it undisturbed
- ``plans``: what goes wrong in a run, drawn from a seed
- ``process``: one command in a forked process, on a full disk or killed if it is to be
- ``session``: a plan carried out: the run with faults, the same again without, and what is checked
- ``checks``: what must hold of Hub, cache and output folder whatever happened
- ``slots``: sessions side by side, each with a Hub on a port of its own
- ``test_*``: small samples; ``python -m benchmarks.faults`` runs many
"""
