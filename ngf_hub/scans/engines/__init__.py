"""Where the scans of many models run, one file an engine.

- ``base``: what an engine is, and how one is chosen by name; ``known``: registers them.
- ``local``: one model after another in this process.
- ``ray``: a task a model on a Ray cluster; ``ray_cluster``: the cluster, and what each
  task gets of it; ``ray_worker``: what runs there; ``environment``: what of this
  process's environment the workers are given.
"""
