"""The command line: one file a command (or a pair that belongs together), wired in ``app``.

Rules that all commands keep:

* Importing a command costs nothing: what it needs is imported when it runs.
* With ``--json``, stdout holds one JSON document and nothing else; progress and warnings go to
  stderr.
* Exit status 0: done; 1: it failed, with one line on stderr that says what to do; 2: the command
  line itself is wrong.
* A command that only looks never makes a cache where there is none.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``semcache``; ends the process."""
    from semcache.cli.app import app
    from semcache.cli.console import fail
    from semcache.errors import SemcacheError

    try:
        app()
    except SemcacheError as error:
        fail(str(error))
        sys.exit(1)
