"""Load hostile files, each in a child process: ``python -m tests.evidence.fire PATH LOADER ...``.

Started by ``test_corpus`` alone, to show that the corpus is not made of duds.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .corpus import load


def main() -> None:
    import joblib  # noqa: F401
    import numpy  # noqa: F401
    import PIL.PdfParser  # noqa: F401
    import torch.fx  # noqa: F401

    pairs = zip(sys.argv[1::2], sys.argv[2::2], strict=True)
    for path, loader in pairs:
        child = os.fork()
        if child == 0:
            try:
                load(Path(path), loader)
            finally:
                os._exit(0)  # whatever was raised: the mark tells
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
