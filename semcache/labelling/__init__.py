"""Labelling: which pair to ask a person about next, and keeping every answer.

``candidates`` finds pairs, in files or among the neighbours in a cache; ``queue`` orders them;
``journal`` keeps the answers. ``semcache.cli.label`` is the command, ``semcache tune`` the reader.
"""
