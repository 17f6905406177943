"""What a cache learns while it runs: reports, samples, the live wrong-serve rate, the grey zone.

``notes`` says how all of it is kept in the store, ``feedback`` what a report forbids, ``live`` how
the bound is watched, ``shadow`` how hits are compared with fresh answers, ``grey`` how doubtful
pairs are verified after the answer, and ``backroom`` where that runs. ``online`` puts them together
for the engine. What is pure stands in ``decision``: ``neighbourhood``, ``live``,
``confidence_sequence``, ``doubtful``.
"""
