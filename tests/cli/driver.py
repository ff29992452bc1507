"""Runs several command lines in one process and prints what each gave, as JSON.

Importing PyTorch costs seconds; a process for each of many refusals would cost minutes.
"""

import contextlib
import io
import json
import os
import sys

from ngf_hub.cli import main


def run(words):
    out, err = io.StringIO(), io.StringIO()
    code = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words)
        except SystemExit as end:
            code = end.code
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    os.chdir(asked["cwd"])
    json.dump({name: run(words) for name, words in asked["lines"].items()}, sys.stdout)
