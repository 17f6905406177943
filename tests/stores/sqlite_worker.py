"""A process on a shared file: runs the lines of Python it is sent, answers each with a ``repr``."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]
    names: dict[str, object] = {}
    exec(
        "from store_cases import *\n"
        "from semcache.stores.base import Caps, Selection\n"
        "from semcache.stores.sqlite import SqliteStore\n",
        names,
    )
    for line in sys.stdin:
        try:
            result = eval(line, names)
        except Exception as error:
            result = error
        print(repr(result), flush=True)


if __name__ == "__main__":
    main()
