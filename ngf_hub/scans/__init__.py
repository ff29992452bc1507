"""What surrounds the scan of one model (:mod:`ngf_hub.scanning`), one file a concern.

- ``steps``: the steps of one scan, each of which fills in its part of the report.
- ``samples``, ``pictures``: what a recovered trigger does to images, and looks like.
- ``names``: the models that a list or an author names; ``state``: what tells one state
  of a model from another.
- ``jobs``: many models, one after another; ``store``: results that are kept;
  ``engines``: where the scans run, one file an engine.
- ``output``: a folder with everything; ``places``: the places that a user named.
- ``formats``: JSON, SARIF and HTML, one file a format.
"""
