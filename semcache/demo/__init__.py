"""The demo: prompts of real people through the whole cache, against a simulated model.

``prompts`` reads what ships in ``data/``, ``model`` is the simulated model, ``run`` sends the one
through the cache to the other, and ``summary`` says what came of it.
"""
