"""What ``auto`` is made of: from a suspicion to a model of which it is checked that it forgot.

- ``suspicion``: what a scan finds, and the triggers that go with it.
- ``layers``: the layer where a trigger is forgotten at the least cost, chosen without trying.
- ``plans``: the ways to forget that are tried, in order.
- ``attempts``: tuning some layers, and what that reached on images held out from it.
- ``judging``: the estimates on judging images, which have the last word.
"""
