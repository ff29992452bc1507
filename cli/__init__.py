"""The command line, one file a command; installed as ``ngf_hub.cli``.

- ``app``: the application, its commands, and how errors end it.
- ``arguments``: the options that several commands share.
- ``console``: progress bars, tables and JSON.
- ``inputs``, ``attack_inputs``: from options to model, images and trigger.
- ``scan``, ``purify``, ``evaluate``, ``attack``, ``attacks``, ``bench``, ``layers``, ``methods``,
  ``publish``, ``reproduce``, ``card``, ``report``, ``demo``: the commands.
- ``scan_options``, ``scan_view``, ``scan_fleet``: what a scan takes and shows in the terminal.
- ``launching``: several processes for one command.
- ``threads``: how those of one process wait for each other.

What takes long to import is imported inside the commands, so that
``ngf-hub --help`` answers at once.
"""

from ngf_hub.cli.app import main

__all__ = ["main"]
