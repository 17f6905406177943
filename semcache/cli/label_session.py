"""The questions of ``semcache label``, on stderr, and the keys that answer them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from semcache.cli.console import brief, clean, err

if TYPE_CHECKING:
    from semcache.labelling.journal import Journal
    from semcache.labelling.queue import Asked, Pick

KEYS = {"y": "yes", "n": "no", "s": "skip", "u": "undo", "q": "quit"}
ANSWER_LETTERS = 300


@dataclass(slots=True)
class Session:
    """What came of one sitting; ``done`` has its keys, for undo."""

    right: int = 0
    wrong: int = 0
    skipped: int = 0
    left: int = 0
    done: list[str] = field(default_factory=list)


def ask(
    queue: Sequence[Asked], journal: Journal, scorer: str, threshold: float, pick: Pick
) -> Session:
    """Ask about each pair in turn; every label is in the journal before the next question.

    ``threshold``, ``scorer`` and ``pick`` are kept beside each label: they say what it is a sample
    of.
    """
    session = Session()
    place = 0
    while place < len(queue):
        asked = queue[place]
        _show(asked, place, len(queue), scorer, threshold)
        key = _key()
        if key == "q":
            break
        if key == "u":
            if not session.done:
                _say("there is nothing to take back in this session")
                continue
            _take_back(session, journal)
            place -= 1
            continue
        if key == "s":
            session.skipped += 1
        else:
            journal.add(_row(asked, key == "y", scorer, threshold, pick))
            session.right += key == "y"
            session.wrong += key == "n"
        session.done.append(key)
        place += 1
    session.left = len(queue) - place
    return session


def _take_back(session: Session, journal: Journal) -> None:
    match session.done.pop():
        case "s":
            session.skipped -= 1
        case "y":
            journal.undo()
            session.right -= 1
        case _:
            journal.undo()
            session.wrong -= 1


def _row(asked: Asked, same: bool, scorer: str, threshold: float, pick: Pick) -> dict[str, Any]:
    candidate = asked.candidate
    return {
        "a": candidate.a,
        "b": candidate.b,
        "label": int(same),
        **candidate.about,
        "score": round(asked.score, 6),
        "picked": {"how": pick, "scorer": scorer, "least": threshold},
    }


def _show(asked: Asked, place: int, count: int, scorer: str, threshold: float) -> None:
    a, b = asked.candidate.a, asked.candidate.b
    err.print()
    err.print(
        f"[dim]{place + 1:,} of {count:,}   {clean(scorer)} {asked.score:.3f}, threshold "
        f"{threshold:.3f}   {clean(asked.candidate.about.get('source', ''))}[/]",
        highlight=False,
    )
    answers = asked.candidate.answers or ("", "")
    for name, text, other, answer in (("A", a, b, answers[0]), ("B", b, a, answers[1])):
        err.print(f"  [dim]{name}[/]  {_marked(text, other)}", highlight=False)
        if answer:
            err.print(f"     [dim]↳ {brief(answer, ANSWER_LETTERS)}[/]", highlight=False)
    err.print("May one answer serve both? [bold]y[/]es [bold]n[/]o [bold]s[/]kip [bold]u[/]ndo "
              "[bold]q[/]uit ", end="", highlight=False)  # fmt: skip


def _marked(text: str, other: str) -> str:
    """The text with the words that the other one has not in bold."""
    known = {_plain(word) for word in other.split()}
    return " ".join(
        clean(word) if _plain(word) in known else f"[bold yellow]{clean(word)}[/]"
        for word in text.split()
    )


def _plain(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum()) or word


def _key() -> str:
    """A key of ``KEYS``: pressed in a terminal, else a line's first letter; ``q`` at the end."""
    while True:
        try:
            pressed = typer.getchar() if sys.stdin.isatty() else sys.stdin.readline()
        except (KeyboardInterrupt, EOFError):
            pressed = ""
        key = pressed.strip().lower()[:1]
        if not pressed or key in ("\x03", "\x04"):
            key = "q"
        if key in KEYS:
            _say(KEYS[key])
            return key
        _say("y, n, s, u or q? ", end="")


def _say(text: str, end: str = "\n") -> None:
    err.print(text, end=end, highlight=False)
