"""A Hugging Face Hub on localhost, for tests that need a real one.

It speaks the Hub's HTTP interface over a real socket, with its store on disk,
so that the unmodified clients (huggingface_hub, transformers, timm, datasets)
work on it once ``HF_ENDPOINT`` points there. What lives here:

- ``server``: ``LocalHub``, which tests start, seed with repositories and inspect
- ``faults``: what goes wrong on schedule
- ``fixtures``: the pytest fixtures ``local_hub`` and ``hub_api``
- ``blobs``, ``store``, ``trees``: contents, repositories and commits on disk
- ``accounts``, ``errors``: who may do what, and how the Hub says no
- ``routing``, ``app``, ``request_log``: from a raw path to a handler, and what was asked
- ``repos``, ``refs``, ``info``, ``tree_pages``, ``paging``, ``files``, ``commits``,
  ``upload_modes``, ``lfs``, ``discussions``, ``cards``, ``card_schema``: the interface,
  one part a file
- ``test_*``: the clients themselves, run against it

Not served: Xet (clients need ``HF_HUB_DISABLE_XET=1``, which ``LocalHub.env`` sets),
Spaces, likes, collections and the dataset viewer.
"""
