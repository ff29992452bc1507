"""Trigger recovery: which change, put on any image, sends it to a class, and how small can it be?

A class with a backdoor needs a far smaller change than the others (Wang et al.,
Neural Cleanse, IEEE S&P 2019). All classes are searched at once in one batch.

- ``pool``: the clean images, and which of them a class is tried on.
- ``space``: a family of changes, one for each of many classes at a time.
- ``patch``, ``additive``, ``warp``: the families; ``bounded`` is what the two latter share.
- ``gratings``: a dictionary of sinusoids, which needs no search.
- ``composing``: two images in one, and pairs of classes, which need no search either.
- ``logits``: of changed images, and their margins.
- ``search``: many classes in common batches, fewer from stage to stage.
- ``doors``: several triggers for the class that stands out, complete enough to unlearn it by.
- ``statistic``: how far the best class stands out, and Neural Cleanse's anomaly index.
"""
