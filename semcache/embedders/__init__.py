"""Embedders: text in, unit vectors out.

`semcache.embedders.base` says what one is; each other module is one embedder and imports what it
runs on only when it embeds. Nothing is imported here, so that using one costs only that one.
"""
