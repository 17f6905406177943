"""Generated contrast pairs: real questions with one edit that changes what is asked, or with many
that change nothing.

Why: in real text, overlap gives the label away (paraphrases of real people differ in many words,
look-alikes in few, or the other way round, by set). Here both kinds of pair come with few and with
many changed words, so that only *what* was changed tells them apart:

* **different** = one meaning edit (`MEANING`), and none to three harmless ones on either side;
* **same** = two to four harmless edits (`HARMLESS`);
* **roles** = written frames about two things, in other words and in place (same) or exchanged
  (different), and frames where the exchange changes nothing: real questions of two things are rare;
* **composed** = a labelled real pair with harmless edits (label stays), or a positive one with a
  meaning edit (label 0).

Texts: strict_pairs (with labels), web_queries, clinc150_stream, banking77_stream and prompts, the
``*.tune`` parts only, without what `verifier_data` holds aside. Licences: those of the texts
(CC BY 4.0, CC BY 3.0, CC BY-SA 3.0 and 4.0, Apache-2.0); the edits are ours.

    python training/contrast.py ../shared/data contrast.jsonl.gz
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import contrast_lexicon as lexicon
import typer
from verifier_data import SOURCES, read_rows, read_source

Edit = Callable[[str, random.Random], str | None]
MAX_WORDS = 30
FRAME_SHARE = 0.12  # of the pairs: two real questions that differ in one rare word
ROLE_SHARE = 0.12  # of the pairs: written frames about two things, in place or exchanged

app = typer.Typer(add_completion=False)


# Tools


def swap(text: str, old: str, new: str, rng: random.Random) -> str | None:
    """One occurrence of the words ``old`` as ``new``; None where there is none."""
    found = list(re.finditer(rf"(?<![\w'’-]){re.escape(old)}(?![\w'’-])", text, re.IGNORECASE))
    if not found:
        return None
    at = rng.choice(found)
    if at.group()[0].isupper():
        new = new[0].upper() + new[1:]
    return text[: at.start()] + new + text[at.end() :]


def lower_first(text: str) -> str:
    """``text`` going on in the middle of a sentence."""
    return text[0].lower() + text[1:] if text[1:2].islower() or text[1:2] == "" else text


def bare(text: str) -> str:
    return text.strip().rstrip("?!. ").strip()


def append(text: str, more: str) -> str:
    """``more`` at the end, before the closing mark."""
    end = text.rstrip()
    mark = end[-1] if end and end[-1] in "?!." else ""
    return f"{bare(text)} {more}{mark}"


WORDS: dict[str, list[tuple[str, str]]] = {}
"""For every kind: (old, new) pairs, in both directions where both make sense."""


def _siblings(classes: list[list[str]]) -> list[tuple[str, str]]:
    return [(a, b) for words in classes for a in words for b in words if a != b]


def _both(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [*pairs, *((b, a) for a, b in pairs)]


WORDS["entity"] = _siblings(lexicon.ENTITIES)
WORDS["date_time"] = _siblings(lexicon.DATES)
WORDS["unit_currency"] = _siblings(lexicon.UNITS)
WORDS["attribute"] = _siblings(lexicon.ATTRIBUTES)
WORDS["antonym"] = _both([(a, b) for a, b in lexicon.OPPOSITES])
WORDS["negation"] = _both(lexicon.NEGATIONS)
WORDS["tense_status"] = _both(lexicon.TENSES)
WORDS["person_possession"] = _both(lexicon.PERSONS)
WORDS["question_type"] = lexicon.QUESTION_WORDS
BY_OLD = {
    kind: {old: [n for o, n in pairs if o == old] for old, _ in pairs}
    for kind, pairs in WORDS.items()
}
OLD_WORDS = {
    kind: re.compile(
        r"(?<![\w'’-])(?:"
        + "|".join(re.escape(old) for old in sorted(table, key=len, reverse=True))
        + r")(?![\w'’-])",
        re.IGNORECASE,
    )
    for kind, table in BY_OLD.items()
}


def exchange(kind: str) -> Edit:
    """An edit that puts another word of the table in the place of one that occurs."""

    def edit(text: str, rng: random.Random) -> str | None:
        found = list(OLD_WORDS[kind].finditer(text))
        if not found:
            return None
        at = rng.choice(found)
        new = rng.choice(BY_OLD[kind][at.group().lower()])
        if re.search(rf"\b{re.escape(new)}\b", text, re.IGNORECASE):
            return None  # "from France to Spain" would become "from Spain to Spain"
        if at.group()[0].isupper():
            new = new[0].upper() + new[1:]
        return text[: at.start()] + new + text[at.end() :]

    return edit


# Edits that change what is asked


def number(text: str, rng: random.Random) -> str | None:
    found = list(re.finditer(r"(?<![\w.])\d{1,6}(?![\w])", text))
    if found:
        at = rng.choice(found)
        value = int(at.group())
        year = 1900 <= value <= 2030
        step = (
            rng.choice([1, 2, 5, 10]) if year else rng.choice([1, 1, 2, 5, value or 3, value * 9])
        )
        new = value + (step if rng.random() < 0.6 or value <= step else -step)
        return text[: at.start()] + str(new) + text[at.end() :]
    for word in rng.sample(lexicon.NUMBER_WORDS[2:], len(lexicon.NUMBER_WORDS) - 2):
        other = rng.choice([w for w in lexicon.NUMBER_WORDS[2:] if w != word])
        if (edited := swap(text, word, other, rng)) is not None:
            return edited
    return None


COMPARED = (
    "bigger|larger|better|older|faster|taller|cheaper|worse|stronger|heavier|more \\w+|less \\w+"
)
TRANSITIVE = "affect|cause|eat|help|influence|beat|own|like|kill|use"
DID = "marry|defeat|invade|kill|attack|buy|fight|beat|replace|conquer"
ROLES = [
    r"\bfrom (?P<a>[\w' ]{2,25}?) (?P<m>to|into) (?P<b>[\w']{2,20}(?: [\w']+)?)",
    rf"(?P<a>\b[\w']+) (?P<m>(?:is |are )?(?:{COMPARED}) than) (?P<b>[\w']+)",
    rf"\bdo(?:es)? (?P<a>[\w']+) (?P<m>{TRANSITIVE}) (?P<b>[\w']+)",
    r"\bconvert (?P<a>[\w ]{2,20}?) (?P<m>to|into) (?P<b>[\w']+)",
    rf"\bdid (?P<a>[\w']+) (?P<m>{DID}) (?P<b>[\w']+)",
]


def role_swap(text: str, rng: random.Random) -> str | None:
    stripped = bare(text)
    for pattern in rng.sample(ROLES, len(ROLES)):
        if (at := re.search(pattern, stripped, re.IGNORECASE)) is None:
            continue
        a, b = at.span("a"), at.span("b")
        if at.group("a").lower() == at.group("b").lower():
            continue
        return stripped[: a[0]] + at["b"] + stripped[a[1] : b[0]] + at["a"] + stripped[b[1] :]
    return None


def modifier(kind: str) -> Edit:
    """An edit that adds a restriction at the end."""

    def edit(text: str, rng: random.Random) -> str | None:
        chosen = rng.choice(lexicon.MODIFIERS[kind])
        if kind == "format_length" and not re.match(
            r"(?:write|explain|summari|list|describe|give|tell|create|make|what)", text, re.I
        ):
            return None
        if len(text.split()) > 20 or any(w in text.lower().split() for w in chosen.split()[-1:]):
            return None
        return append(text, chosen)

    return edit


SUPERLATIVES = re.compile(
    r"\b(?:largest|biggest|highest|longest|tallest|oldest|best|fastest|richest|cheapest|nearest"
    r"|closest|most)\b",
    re.IGNORECASE,
)
SCOPES = [
    ("all", "some"),
    ("all", "one of"),
    ("every", "any"),
    ("any", "every"),
    ("the", "another"),
    ("my", "all my"),
    ("the", "all the"),
    ("my", "my other"),
    ("my", "my new"),
    ("the", "the first"),
    ("the", "the last"),
    ("only", "also"),
    ("both", "neither"),
    ("a", "two"),
    ("always", "never"),
]


def extreme(text: str, rng: random.Random) -> str | None:
    """The second of what the first was asked for, and all, some, only, another."""
    found = list(SUPERLATIVES.finditer(text))
    if found and rng.random() < 0.7:
        at = rng.choice(found)
        return text[: at.start()] + rng.choice(["second ", "third "]) + text[at.start() :]
    old, new = rng.choice(SCOPES)
    return swap(text, old, new, rng)


MEANING: dict[str, list[tuple[float, Edit]]] = {
    "number": [(4.0, number)],
    "role_swap": [(6.0, role_swap)],
    **{
        kind: [(weight, exchange(kind))]
        for kind, weight in {
            "entity": 3.0,
            "date_time": 1.5,
            "unit_currency": 3.0,
            "attribute": 2.5,
            "antonym": 2.4,
            "negation": 0.5,
            "tense_status": 0.4,
            "person_possession": 0.4,
            "question_type": 0.6,
        }.items()
    },
    **{kind: [(0.16, modifier(kind))] for kind in lexicon.MODIFIERS},
}
MEANING["scope"].append((0.5, extreme))
EDITS = [(kind, weight, edit) for kind, edits in MEANING.items() for weight, edit in edits]


def meaning_edit(text: str, rng: random.Random) -> tuple[str, str] | None:
    """(edited text, kind of its difference)."""
    for _ in range(12):
        kind, _, edit = rng.choices(EDITS, [weight for _, weight, _ in EDITS])[0]
        edited = edit(text, rng)
        if edited is not None and key(edited) != key(text):
            return edited, kind
    return None


# Edits that change nothing


def typo(text: str, rng: random.Random) -> str | None:
    """A letter dropped, doubled or exchanged inside one word of five letters or more."""
    words = list(re.finditer(r"[a-zA-Z]{5,}", text))
    words = [m for m in words if not m.group().isupper() and m.group().lower() not in ANY_OLD]
    if not words:
        return None
    at = rng.choice(words)
    word, i = at.group(), rng.randrange(1, len(at.group()) - 2)
    match rng.randrange(3):
        case 0:
            word = word[:i] + word[i + 1 :]
        case 1:
            word = word[:i] + word[i] + word[i:]
        case _:
            word = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    return text[: at.start()] + word + text[at.end() :]


def polite_front(text: str, rng: random.Random) -> str | None:
    front = rng.choice(lexicon.POLITE_FRONT)
    joined = f"{front} {lower_first(text)}"
    return joined if rng.random() < 0.5 else joined[0].upper() + joined[1:]


def polite_back(text: str, rng: random.Random) -> str | None:
    back = rng.choice(lexicon.POLITE_BACK)
    if back == "?":
        return bare(text) + "?"
    return f"{text.rstrip()} {back}" if rng.random() < 0.5 else f"{bare(text)}, {back}"


def contraction(text: str, rng: random.Random) -> str | None:
    options = list(lexicon.CONTRACTIONS)
    rng.shuffle(options)
    for long, short in options:
        old, new = (long, short) if rng.random() < 0.7 or len(short) < 3 else (short, long)
        if (edited := swap(text, old, new, rng)) is not None:
            return edited
    return None


def surface(text: str, rng: random.Random) -> str | None:
    """Case and marks. (The tokeniser has no case, so case alone is rarely worth a pair.)"""
    match rng.randrange(4):
        case 0:
            return bare(text)
        case 1:
            return bare(text) + rng.choice(["??", " ?", "!", "...", "."])
        case 2:
            return re.sub(r"[,;:'’]", "", text)
        case _:
            return text.upper()


def number_words(text: str, rng: random.Random) -> str | None:
    """5 as five and back; %, km, hrs and their like are among the synonyms."""
    for value in rng.sample(range(2, 21), 19):
        word = lexicon.NUMBER_WORDS[value]
        old, new = (str(value), word) if rng.random() < 0.5 else (word, str(value))
        if (edited := swap(text, old, new, rng)) is not None:
            return edited
    return None


WHEN = r"today|tomorrow|this week|right now|in \d{4}|on (?:mon|tues|wednes|thurs|fri|satur|sun)day"


def reorder(text: str, rng: random.Random) -> str | None:
    """Clauses and symmetric members in another order."""
    stripped = bare(text)
    if at := re.match(r"(if|when|because|after|before) (.{8,80}?), (.{8,})$", stripped, re.I):
        return f"{at[3][0].upper()}{at[3][1:]} {at[1].lower()} {at[2]}?"
    if at := re.match(r"(.{8,}) (if|because|when i|when my) (.{6,60})$", stripped, re.I):
        return f"{at[2].capitalize()} {at[3]}, {lower_first(at[1])}?"
    a_and_b = r"(?P<a>[\w' ]{2,25}?) and (?P<b>[\w' ]{2,25})"
    symmetric = [
        rf"\b(?P<m>differences? between|between|compare|distance between) {a_and_b}$",
        r"(?P<m>which is \w+,?) (?P<a>[\w' ]{2,25}?) or (?P<b>[\w' ]{2,25})$",
        r"(?P<m>\b)(?P<a>[\w]{3,15}) (?:vs|versus) (?P<b>[\w]{3,15})$",
    ]
    for pattern in symmetric:
        if at := re.search(pattern, stripped, re.I):
            a, b = at.span("a"), at.span("b")
            return stripped[: a[0]] + at["b"] + stripped[a[1] : b[0]] + at["a"] + stripped[b[1] :]
    if at := re.match(rf"(.{{8,}}) ({WHEN})$", stripped, re.IGNORECASE):
        return f"{at[2]}, {lower_first(at[1])}"
    return None


def rephrase(text: str, rng: random.Random) -> str | None:
    stripped = bare(text)
    options = list(lexicon.REPHRASINGS)
    rng.shuffle(options)
    for pattern, forms in options:
        if at := re.match(pattern, stripped, re.IGNORECASE):
            return rng.choice(forms).format(*(group.strip() for group in at.groups()))
    return None


def question_form(text: str, rng: random.Random) -> str | None:
    for forms in rng.sample(lexicon.QUESTION_FORMS, len(lexicon.QUESTION_FORMS)):
        for old in sorted(forms, key=len, reverse=True):
            if re.match(rf"{re.escape(old)}\b", text, re.I):
                new = rng.choice([form for form in forms if form != old])
                return new + text[len(old) :]
    return None


def synonym(text: str, rng: random.Random) -> str | None:
    found = list(SYNONYM_WORDS.finditer(text))
    if not found:
        return None
    at = rng.choice(found)
    new = rng.choice(SYNONYM_OF[at.group().lower()])
    return text[: at.start()] + new + text[at.end() :]


def drop_filler(text: str, rng: random.Random) -> str | None:
    fillers = r"\b(?:the|a|an|please|just|really|can you|could you|so)\b ?"
    found = list(re.finditer(fillers, text, re.IGNORECASE))
    if not found or len(text.split()) < 4:
        return None
    at = rng.choice(found)
    return (text[: at.start()] + text[at.end() :]).strip()


SYNONYM_OF: dict[str, list[str]] = defaultdict(list)
for _old, _new in _siblings(lexicon.SYNONYMS):
    SYNONYM_OF[_old].append(_new)
SYNONYM_WORDS = re.compile(
    r"(?<![\w'’-])(?:"
    + "|".join(re.escape(old) for old in sorted(SYNONYM_OF, key=len, reverse=True))
    + r")(?![\w'’-])",
    re.IGNORECASE,
)
ANY_OLD = {old for table in BY_OLD.values() for old in table}
HARMLESS: list[tuple[float, Edit]] = [
    (1.2, typo),
    (1.0, polite_front),
    (0.7, polite_back),
    (0.8, contraction),
    (0.7, surface),
    (1.5, number_words),
    (3.0, reorder),
    (3.0, rephrase),
    (2.0, question_form),
    (2.5, synonym),
    (0.8, drop_filler),
]


def harmless(text: str, rng: random.Random, n: int) -> str:
    """``text`` after up to ``n`` edits that change nothing."""
    edits = [edit for _, edit in HARMLESS]
    weights = [weight for weight, _ in HARMLESS]
    used: set[Edit] = set()
    for _ in range(4 * n):
        if len(used) == n:
            break
        edit = rng.choices(edits, weights)[0]
        if edit in used:
            continue
        edited = edit(text, rng)
        if edited and edited != text:
            used.add(edit)
            text = edited
    return text


def key(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


# Pairs


def frames(texts: list[str], rng: random.Random) -> list[tuple[str, str]]:
    """Real questions that differ in one word, which is rare and no inflection of the other's."""
    counts: Counter[str] = Counter()
    split = [key(text).split() for text in texts]
    for words in split:
        counts.update(set(words))
    table: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
    for text, words in zip(texts, split, strict=True):
        if 4 <= len(words) <= 14:
            for i, word in enumerate(words):
                if counts[word] < 25 and len(word) > 3:
                    table[(*words[:i], "", *words[i + 1 :])].append((word, text))
    pairs = []
    for members in table.values():
        members = list(dict(members).items())
        rng.shuffle(members)
        for (v, a), (w, b) in zip(members[::2], members[1::2], strict=False):
            if not alike(v, w):
                pairs.append((a, b))
    rng.shuffle(pairs)
    return pairs


def alike(v: str, w: str) -> bool:
    """Perhaps one word: a common start, or one or two letters of difference."""
    if v[:4] == w[:4] or w in SYNONYM_OF.get(v, []):
        return True
    common = sum((Counter(v) & Counter(w)).values())
    return max(len(v), len(w)) - common <= 2


def role_pair(rng: random.Random) -> tuple[str, str, int, str]:
    """Two forms of one question about two things, with the things in place or exchanged."""
    symmetric = rng.random() < 0.25
    forms, classes = rng.choice(lexicon.SYMMETRIC_FRAMES if symmetric else lexicon.ROLE_FRAMES)
    a, b = rng.sample(lexicon.FILLERS[rng.choice(classes)], 2)
    first, second = rng.choices(forms, k=2)
    swapped = rng.random() < (0.7 if symmetric else 0.55)
    if first == second and not swapped:
        second = rng.choice([form for form in forms if form != first])
    text = first.format(a=a, b=b)
    other = second.format(a=b, b=a) if swapped else second.format(a=a, b=b)
    label = int(symmetric or not swapped)
    return text, other, label, "same" if label else "role_swap"


@app.command()
def main(
    data: Annotated[Path, typer.Argument(help="Folder with the *.tune.jsonl.gz files.")],
    out: Annotated[Path, typer.Argument(help="File to write (.jsonl.gz).")],
    pairs: Annotated[int, typer.Option(help="How many.")] = 16_000,
    seed: Annotated[int, typer.Option()] = 1,
) -> None:
    """Write contrast pairs: a, b, label, kind, source."""
    rng = random.Random(seed)
    strict = next(source for source in SOURCES if source.name == "strict_pairs")
    labelled, held = read_source(data, strict)
    aside = {key(text) for pair in held for text in (pair.a, pair.b)}
    texts: dict[str, list[str]] = {}
    for name in ("web_queries", "clinc150_stream", "banking77_stream", "prompts"):
        rows = read_rows(data / f"{name}.tune.jsonl.gz")
        texts[name] = [row["text"] for row in rows]
    texts["strict_pairs"] = [text for pair in labelled for text in (pair.a, pair.b)]
    for name, listed in texts.items():
        kept = dict.fromkeys(t for t in listed if 3 <= len(t.split()) <= MAX_WORDS)
        texts[name] = [text for text in kept if key(text) not in aside]
    written: dict[tuple[str, str], dict[str, object]] = {}

    def add(a: str, b: str, label: int, kind: str, source: str) -> None:
        same_key = key(a) == key(b)
        if len(a.split()) <= 40 and len(b.split()) <= 40 and (label or not same_key):
            row = {"a": a, "b": b, "label": label, "kind": kind, "source": source}
            written.setdefault((min(a, b), max(a, b)), row)

    real_frames = frames(texts["web_queries"], rng)[: int(pairs * FRAME_SHARE)]
    for a, b in real_frames:
        add(harmless(a, rng, rng.randrange(2)), b, 0, "entity", "web_queries")
    for _ in range(int(pairs * ROLE_SHARE)):
        text, other, label, kind = role_pair(rng)
        if rng.random() < 0.5:
            other = harmless(other, rng, 1)
        add(text, other, label, kind, "contrast_lexicon")
    names, weights = list(texts), [0.35, 0.15, 0.12, 0.12, 0.26]
    while len(written) < pairs:
        if rng.random() < 0.35:
            pair = rng.choice(labelled)
            if pair.label and rng.random() < 0.55:
                if (found := meaning_edit(pair.b, rng)) is not None:
                    add(
                        pair.a,
                        harmless(found[0], rng, rng.randrange(2)),
                        0,
                        found[1],
                        "strict_pairs",
                    )
            else:
                edited = harmless(pair.b, rng, rng.randint(1, 2))
                kind = "same" if pair.label else ""
                add(pair.a, edited, pair.label, kind, "strict_pairs")
            continue
        name = rng.choices(names, weights)[0]
        text = rng.choice(texts[name])
        if rng.random() < 0.58:
            if (found := meaning_edit(text, rng)) is not None:
                other = harmless(text, rng, rng.randrange(3))
                add(other, harmless(found[0], rng, rng.randrange(2)), 0, found[1], name)
        else:
            add(text, harmless(text, rng, rng.randint(2, 4)), 1, "same", name)
    with gzip.open(out, "wt", encoding="utf-8") as file:
        for row in written.values():
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    count = Counter(str(row["kind"]) for row in written.values())
    typer.echo(f"{len(written)} pairs: {dict(count.most_common())}", err=True)


if __name__ == "__main__":
    app()
