"""As :mod:`tests.cli.driver`, with small kinds of evidence instead of those that take minutes."""

import json
import os
import sys

from tests.cli.driver import run
from tests.scan_kinds import Corner, Quiet, Unfit, installed

if __name__ == "__main__":
    asked = json.load(sys.stdin)
    os.chdir(asked["cwd"])
    with installed(Corner, Quiet, Unfit):
        json.dump({name: run(words) for name, words in asked["lines"].items()}, sys.stdout)
