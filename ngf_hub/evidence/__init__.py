"""Looking for what should not be there: in a model's files, and in what it does.

What all of it is made of:

- ``base``: what a kind of evidence is; ``kinds`` registers those that look at a loaded
  model; ``collecting`` runs them, whatever becomes of any;
  ``timing`` tells beforehand how long one will take.
- ``verdict``: from findings to a verdict; ``null``: p-values from few clean models;
  ``calibration``: the table of clean models that ships with the library.

The files, before any is loaded or run:

- ``repository``: goes through them; ``repository_files``: reads them, from a folder or by
  ranges from the Hub.
- ``files``: what a pickle would import and call. ``pickle_files`` finds the pickles in a
  file, ``wrappings``, ``zip_layout``, ``numpy_header`` and ``joblib_arrays`` what they are
  packed in; ``pickle_stream`` follows one without running it, ``pickle_names`` and
  ``pickle_use`` tell which globals are dangerous, ``pickle_parts`` holds what they share.
- ``safetensors_header``: headers that lie; ``weights_fit``: weights that contradict the config.
- ``keras``: Lambda layers; ``custom_code``: ``auto_map`` and its like.

The loaded model:

- ``recovered``: triggers that :mod:`ngf_hub.recovery` finds, judged; ``all_to_all``: those
  that send each class to the next.
- ``grating``: sinusoids over the whole image, tried one after another.
- ``composite``: images composed of two classes, tried pair after pair.
- ``margin``: maximum margins, without data; ``margin_search`` finds them, ``synthetic``
  makes images for want of any.
- ``sharpness``: curvature on clean images, which is weak evidence.
"""

from ngf_hub.evidence.files import FileFinding, scan_pickle

__all__ = ["FileFinding", "scan_pickle"]
