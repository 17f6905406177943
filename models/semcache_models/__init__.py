"""Where the weights are. Data only: this package imports nothing but pathlib."""

from pathlib import Path

__version__ = "0.1.0"


def path(name: str = "encoder") -> Path:
    """Folder of the model called ``name``.

    Raises FileNotFoundError for a name this version does not have, saying which it has.

    >>> path("encoder").name
    'encoder'
    """
    root = Path(__file__).resolve().parent
    folder = root / name
    if not name.isidentifier() or not folder.is_dir():
        known = sorted(p.name for p in root.iterdir() if p.is_dir() and p.name.isidentifier())
        names = ", ".join(n for n in known if not n.startswith("__"))
        raise FileNotFoundError(f"semcache-models {__version__} has no {name!r}, only: {names}")
    return folder
