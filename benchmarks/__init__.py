"""Scripts whose printed tables the README quotes.

- ``thirdparty``: backdoored models that others trained, and a clean control (not a script).
- ``ngf_thirdparty``: what NGF alone does to them.
- ``head_ngf``: seconds and memory of the head's natural-gradient fine-tuning by size.
- ``overhead``: NGF on the head against one bare forward pass; start-up; the demo.
"""
