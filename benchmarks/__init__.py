"""Scripts whose printed tables the README quotes.

- ``thirdparty``: backdoored models that others trained, and a clean control (not a script).
- ``ngf_thirdparty``: what NGF alone does to them.
- ``head_ngf``: seconds and memory of the head's natural-gradient fine-tuning by size.
- ``overhead``: NGF on the head against one bare forward pass; start-up; the demo.
- ``file_scanners``: what scanners of pickles catch of crafted files, and their false alarms.
- ``zoo``: trains the small clean and backdoored models that calibrate the scan and judge it;
  ``zoo_plan``, ``zoo_networks``, ``zoo_training``: which, of what shape, how (not scripts).
- ``calibrate``: writes the scan's table of clean models.
- ``scan_zoo``: ROC, false alarms and misses of the scan on the zoo; ``zoo_evidence`` keeps
  what ``calibrate`` and it measured (not a script).
- ``transfer``: true ASR once a model has unlearned the triggers that the scan recovered.
"""
