"""Does the bound hold? Simulations on labelled pairs and streams: ``python -m benchmarks.bound``.

* ``known``: the scores of all pairs and neighbours, computed once, with a cache on disk.
* ``control``: the threshold that risk control chooses, as ``semcache tune`` does, in numpy.
* ``exchangeable``: many calibrations on draws and splits of one pool; ``shipped``: the thresholds
  that ship.
* ``streams``: prompts in many random orders through the decision; ``vcache``: that paper's rule.
* ``threats``: another domain, wrong labels, an adversary; ``online``: the bound watched.
* ``data``: what is read from the folder; ``show``: tables and the picture.
"""
