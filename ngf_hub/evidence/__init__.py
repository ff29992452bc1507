"""Looking for what should not be there.

- ``files``: what a pickled weight file would import, found without unpickling it.
"""

from ngf_hub.evidence.files import FileFinding, scan_pickle

__all__ = ["FileFinding", "scan_pickle"]
