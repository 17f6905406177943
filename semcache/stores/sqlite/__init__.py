"""The embedded store: one SQLite file is the truth, an in-process vector index is derived from it.

``schema`` says what is in the file, ``connections`` how it is reached (threads, processes, forks,
failures), ``change`` what one write does, ``vectors`` how the index follows the file, and ``store``
is the ``Store`` made of them.
"""

from semcache.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
