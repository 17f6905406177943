"""``python -m semcache``: the same as ``semcache``."""

from semcache.cli import main

if __name__ == "__main__":
    main()
