"""Scripts whose printed tables ``README.md`` here and at the top quote.

- ``thirdparty``: backdoored models that others trained, and a clean control (not a script).
- ``ngf_thirdparty``: what NGF alone does to them.
- ``head_ngf``: seconds and memory of the head's natural-gradient fine-tuning by size.
- ``overhead``: NGF on the head against one bare forward pass; start-up; the demo.
- ``file_scanners``: what scanners of pickles catch of crafted files, and their false alarms.
- ``zoo``: trains the small clean and backdoored models that calibrate the scan and judge it;
  ``zoo_plan``, ``zoo_networks``, ``zoo_training``: which, of what shape, how (not scripts).
- ``calibrate``: writes the scan's table of clean models.
- ``scan_zoo``: ROC, false alarms and misses of the scan on the zoo and the table of attacks;
  ``known_models`` reads both, ``zoo_evidence`` keeps what ``calibrate`` and it measured (not
  scripts).
- ``transfer``: true ASR once a model has unlearned the triggers that the scan recovered.
- ``recovery_speed``: all classes together against one after another; a whole scan; 1,000 classes.
- ``screening``: whether the screening of many classes keeps the backdoored one.
- ``attack_table``: how strong each attack becomes, beside the same recipe without poison;
  ``attack_plan``: networks, datasets and settings (not a script).
- ``cure_thirdparty``: ``auto`` on models that others trained, over seeds.
- ``precaution``: what forgetting as a precaution does to clean networks.
- ``foreign_triggers``: what a trigger does to models that never saw it.
- ``step_rules``: the same objective by SGD, Adam and K-FAC.
- ``layer_choice``: the layers that ``auto`` takes against all others, by trying;
  ``forgetting``: the examples of both (not a script).
- ``scan_thirdparty``: the scan on models that others trained.
- ``fleet``: many models on a Ray cluster while a worker and the driver are killed.
- ``faults``: the Hub fails, or the process is killed, by seeded plans: what is left.
- ``fuzz``: the readers of configs, reports, triggers and cards on made-up input.
- ``large``: memory and seconds of networks as large as ViT-L.
- ``devices``: seconds, passes and memory of usual networks, on a GPU where there is one.
- ``report_page``: the HTML page of a large fleet, and the picture of a report.
"""
