"""A published result, run again: do its figures hold?

- ``fetched``: the published report, trigger and weights, from the Hub or a folder.
- ``plan``: from a report's recorded arguments to a command of this tool, by an allow-list.
- ``run``: fetch, run, measure, compare: :func:`reproduce`.
- ``weights``: published and reproduced weights side by side, and what the published ones do.
- ``result``: the comparison, figure by figure.

What is fetched is a stranger's. Its command line is never run: known arguments of known
commands are checked one by one and put together anew, so that a report can neither name a
place to write to, a file of this machine, code to run, nor a repository to publish to.
"""

from ngf_hub.reproducing.result import Reproduction
from ngf_hub.reproducing.run import reproduce

__all__ = ["Reproduction", "reproduce"]
