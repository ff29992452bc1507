"""Pages for people: one HTML file each, with nothing beside it and no request to anywhere.

- ``layout``: how every page is made: one style, and a policy that lets only the page's own
  style and script run.
- ``parts``: what the pages share: tables, facts, bars.
- ``pictures``: PNGs as ``data:`` addresses, within a bound.
- ``findings``: the evidence of a search, and what each class took.
- ``triggers``: what the trigger folders beside a report look like.
- ``measured``, ``spectrum``, ``report_page``: the page of a purification, attack or evaluation.
- ``scan_page``: the page of one scan, or of a fleet.
- ``folder``: the page of whatever an output folder holds.

Names of models, classes and datasets come from strangers: each goes through
:func:`ngf_hub.text.plain` here, and the templates escape all that they show.
"""
