"""Tuning: from somebody's labelled pairs to a calibration, and to a report that shows why.

``parts`` splits the pairs, ``measure`` scores them, ``fit`` chooses on one part and measures on the
other, ``support`` says what the labels support, ``findings`` is what there is to see, and
``charts`` and ``page`` show it. ``semcache.cli.tune`` is the command. Needs numpy; pictures need
matplotlib.
"""
