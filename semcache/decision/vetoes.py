"""Refusals: differences after which two texts may not share an answer, however near their vectors.

Each veto looks at one kind of difference, is listed in ``VETOES`` with an example, and can be
switched off by name. All are symmetrical, and none fires on a text and itself. They only know
English; where they know nothing, a word that differs is a refusal (``content``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from semcache.decision import lexicon as lex
from semcache.decision.align import (
    Alignment,
    Analysis,
    Content,
    align,
    analyse,
    multiset_difference,
    same_order,
)


@dataclass(frozen=True, slots=True)
class Veto:
    """One reason not to serve.

    Attributes:
        name: a key of ``VETOES``.
        detail: what differs, query's side first: ``"15 / 30"``. Printable; ``"–"`` means nothing.
    """

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts, read and aligned: what a veto judges."""

    query: Analysis
    candidate: Analysis
    alignment: Alignment


Check = Callable[[Pair], str | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A veto: its check (the detail, or ``None``), one line on it, and a pair that it refuses."""

    check: Check
    description: str
    example: tuple[str, str]


def _sides(left: Sequence[str], right: Sequence[str]) -> str | None:
    if not left and not right:
        return None
    return f"{_side(left)} / {_side(right)}"


def _side(words: Sequence[str]) -> str:
    text = " ".join(words[:6]) + (" …" if len(words) > 6 else "") or "–"
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")


def length(pair: Pair) -> str | None:
    """A text is longer than what was analysed, so a difference could be out of sight."""
    return "longer than what is compared" if pair.query.cut or pair.candidate.cut else None


def number(pair: Pair) -> str | None:
    """The numbers differ; number words equal digits, "1,000" is "1000", 1 hour is 60 minutes."""
    sides = (pair.alignment.left, pair.alignment.right)
    left, right = ([w.key[1:] for w in side if w.key.startswith("#")] for side in sides)
    return _sides(left, right)


def identifier(pair: Pair) -> str | None:
    """Codes, versions, file names, URLs or addresses differ."""
    left, right = multiset_difference(pair.query.identifiers, pair.candidate.identifiers)
    return _sides([i.removeprefix("id:") for i in left], [i.removeprefix("id:") for i in right])


def language(pair: Pair) -> str | None:
    """They differ, and not in English: what the difference means is not known."""
    if not pair.query.foreign and not pair.candidate.foreign:
        return None
    aligned = pair.alignment
    order = ([word.key for word in side] for side in (aligned.first, aligned.second))
    if aligned.left or aligned.right or next(order) != next(order):
        return "not English, so any difference counts"
    return None


def quoted(pair: Pair) -> str | None:
    """Both quote something, and not the same."""
    if not pair.query.quoted or not pair.candidate.quoted:
        return None
    return _sides(*multiset_difference(pair.query.quoted, pair.candidate.quoted))


def negation(pair: Pair) -> str | None:
    """One negates and the other does not, or not the same."""
    ours, theirs = pair.query.negated, pair.candidate.negated
    if len(ours) != len(theirs):
        return f"{len(ours)} / {len(theirs)} negations"
    if ours != theirs:
        return _sides([f"not {word}" for word in ours], [f"not {word}" for word in theirs])
    return None


def antonym(pair: Pair) -> str | None:
    """What is left over on the two sides are opposites."""
    for ours in pair.alignment.left:
        for theirs in pair.alignment.right:
            if _opposite(ours, theirs):
                return _sides([ours.text], [theirs.text])
    return None


def _opposite(ours: Content, theirs: Content) -> bool:
    if (ours.text, theirs.text) in lex.ANTONYMS or (ours.key, theirs.key) in lex.ANTONYMS:
        return True
    short, long = sorted((ours.key, theirs.key), key=len)
    return len(short) > 3 and long.endswith(short) and long[: -len(short)] in lex.NEGATING_PREFIXES


def order(pair: Pair) -> str | None:
    """The same words stand in another order that is not known to be harmless."""
    first, second = pair.alignment.first, pair.alignment.second
    if (turned := _turned(first, second)) is not None:
        return turned
    nominal = {pair.query.question, pair.candidate.question} <= {"what", ""}
    if same_order(first, second, nominal):
        return None
    return _sides([word.text for word in first], [word.text for word in second])


def _turned(first: Sequence[Content], second: Sequence[Content]) -> str | None:
    """A word that comes "from" on one side and "to" on the other, or "to" and "and"."""
    for ours, theirs in _couples(first, second):
        here, there = _place(ours), _place(theirs)
        if here != there and frozenset((here, there)) in lex.OPPOSED:
            return _sides([here, ours.text], [there, theirs.text])
    return None


def _couples(
    first: Sequence[Content], second: Sequence[Content]
) -> Iterator[tuple[Content, Content]]:
    """Equal words of the two sides; of repeated ones, the first with the first and so on."""
    if [word.key for word in first] == [word.key for word in second]:
        yield from zip(first, second, strict=True)
        return
    waiting: dict[str, list[Content]] = {}
    for word in second:
        waiting.setdefault(word.key, []).append(word)
    for word in first:
        if waiting.get(word.key):
            yield word, waiting[word.key].pop(0)


def _place(word: Content) -> str:
    return "and" if word.joined else word.direction


def question(pair: Pair) -> str | None:
    """They ask for different things: who, when, where, why, how many."""
    ours, theirs = pair.query.question, pair.candidate.question
    if pair.query.further != pair.candidate.further:
        return _sides(sorted(pair.query.further), sorted(pair.candidate.further))
    # "What is the price of gold?" and "price of gold" are one question.
    if ours == theirs or {ours, theirs} == {"what", ""}:
        return None
    return _sides([ours] if ours else [], [theirs] if theirs else [])


def person(pair: Pair) -> str | None:
    """They are about different people: mine or yours, his or hers."""
    ours, theirs = pair.query.person, pair.candidate.person
    return None if ours == theirs else _sides(ours, theirs)


def inflection(pair: Pair) -> str | None:
    """One thing or several ("a card" and "cards" are the same); doing it or having it done."""
    names = pair.query.names | pair.candidate.names
    for word, other in _couples(pair.alignment.first, pair.alignment.second):
        if other.text == word.text:
            continue
        one, two = word.text, other.text
        number = one + "s" == two or two + "s" == one
        named = not names.isdisjoint((one, two))
        generic = {word.article, other.article} == {"a", ""}
        voice = (one.endswith("ing") and two.endswith("ed")) or (
            two.endswith("ing") and one.endswith("ed")
        )
        if voice or (number and (named or not generic)):
            return _sides([one], [two])
    return None


def grammar(pair: Pair) -> str | None:
    """In a long text or in keywords a small word differs: by, to, from, me, it."""
    if max(len(pair.query.content), len(pair.candidate.content)) >= lex.LONG:
        return _sides(*multiset_difference(pair.query.small, pair.candidate.small))
    if not pair.query.question and not pair.candidate.question:
        return _sides(*multiset_difference(pair.query.odd, pair.candidate.odd))
    return None


def pointing(pair: Pair) -> str | None:
    """One is about a thing that only the asker sees ("this error"), the other about any."""
    ours, theirs = pair.query.pointing, pair.candidate.pointing
    return None if ours == theirs else f"{ours} / {theirs} times this"


def tense(pair: Pair) -> str | None:
    """One asks of the past, the other of the present or the future."""
    left, right = pair.query.tense, pair.candidate.tense
    if ("future" in left) != ("future" in right) and pair.query.question in lex.TENSED:
        return _sides(sorted(left), sorted(right))
    for ours, theirs in ((left, right), (right, left)):
        later = theirs & {"present", "future"}
        if "past" in ours and later and "past" not in theirs and not ours & later:
            return _sides(sorted(left), sorted(right))
    return None


def modality(pair: Pair) -> str | None:
    """One asks what can be, the other what must be."""
    left, right = pair.query.modality, pair.candidate.modality
    return _sides(sorted(left), sorted(right)) if left != right else None


def symbol(pair: Pair) -> str | None:
    """Characters that belong to no word differ: emoji, operators, marks of a script."""
    ours, theirs = pair.query.residue, pair.candidate.residue
    return None if ours == theirs else _sides([ours] if ours else [], [theirs] if theirs else [])


def content(pair: Pair) -> str | None:
    """A word of content is left over on either side after the alignment."""
    return _sides(
        [word.text for word in pair.alignment.left], [word.text for word in pair.alignment.right]
    )


VETOES: Mapping[str, Rule] = MappingProxyType(
    {
        check.__name__: Rule(check, (check.__doc__ or "").split("\n")[0], example)
        for check, example in (
            (length, ("x " * 2_500, "x " * 2_500 + "y")),
            (language, ("¿Dónde está mi tarjeta?", "¿Dónde está mi cuenta?")),
            (number, ("Roast it for 15 minutes?", "Roast it for thirty minutes?")),
            (identifier, ("What does E-4021 mean?", "What does E-4022 mean?")),
            (quoted, ("Translate 'good day' to French", "Translate 'day good' to French")),
            (negation, ("Can I fly with a knife?", "Can I not fly with a knife?")),
            (antonym, ("How do I enable 2FA?", "How do I disable 2FA?")),
            (order, ("Convert euros to dollars", "Convert dollars to euros")),
            (question, ("When did Rome burn?", "Why did Rome burn?")),
            (person, ("What is my name?", "What is your name?")),
            (inflection, ("Dim the light in the bedroom", "Dim the light in the bedrooms")),
            (
                grammar,
                (
                    "Write a polite mail asking my boss for leave on Friday, sent to my team",
                    "Write a polite mail asking my boss for leave on Friday, sent by my team",
                ),
            ),
            (pointing, ("How do I fix this error?", "How do I fix an error?")),
            (tense, ("Who is the pope?", "Who was the pope?")),
            (modality, ("Can I take it with milk?", "Should I take it with milk?")),
            (symbol, ("Is x < y?", "Is x > y?")),
            (content, ("Reset my bank password", "Reset my email password")),
        )
    }
)
ALL: frozenset[str] = frozenset(VETOES)


def vetoes(query: str, candidate: str, enabled: frozenset[str] = ALL) -> tuple[Veto, ...]:
    """Every enabled veto that refuses the pair, in the order of ``VETOES``; empty: none does.

    Pure, symmetrical (up to the sides of ``detail``) and never raises. A text never has a veto
    against itself.

    >>> vetoes("Roast it for 15 minutes", "Roast it for 30 minutes", frozenset({"number"}))
    (Veto(name='number', detail='15 / 30'),)
    >>> vetoes("Could you please tell me how to reset my PIN?", "how do I reset my pin")
    ()
    """
    if query == candidate:
        return ()
    pair = Pair(analyse(query), analyse(candidate), align(query, candidate))
    return tuple(
        Veto(name, detail)
        for name, rule in VETOES.items()
        if name in enabled and (detail := rule.check(pair)) is not None
    )
