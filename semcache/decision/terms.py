"""Terms of a text: what BM25 counts and what the stores index.

One scanner serves both the index and the decision, so that a term found in the store is the term
that the vetoes compare. Its rules:

* Unicode is NFKC-folded and case-folded; curly apostrophes become straight ones.
* Identifiers stay whole: error codes, versions, file names, URLs, e-mail addresses, names with
  digits or underscores. An embedding blurs them; as one term each is as rare as it really is.
* Numbers lose their thousands separators and nothing else: "1.10" and "1.1" are one price but two
  versions, and only the reader knows which.
* A number glued to a unit ("5kg", "3-day") is a number and a word.
* Scripts without spaces between words give one term a character.
* What no term covers, other than ordinary punctuation, is kept as ``residue``: emoji, operators,
  combining marks. Two texts with different residue are not the same text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Kind = Literal["word", "number", "identifier", "character"]


@dataclass(frozen=True, slots=True)
class Token:
    """One term and what it is."""

    text: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Scan:
    """The tokens of a text in order, and the characters that belong to none of them."""

    tokens: tuple[Token, ...]
    residue: str


# Scans of texts up to this long are remembered; 4,096 of them take a few megabytes.
SHORT_CHARACTERS = 1_000

# Kana, CJK ideographs, Thai, Lao, Myanmar, Khmer: written without spaces between words.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)

_TOKEN = re.compile(
    r"""
    (?P<url>(?:https?://|www\.)[^\s<>"]*[^\s<>".,;:!?)\]'])
  | (?P<mail>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)
  | (?P<thousands>(?<![\w.])[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w,]))
  | (?P<number>(?<![\w.])[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?![\w]|[-./:,]\w))
  | (?P<clitic>(?<=\s)'(?:s|d|ll|ve|re|m)(?![\w-]))
  | (?P<compound>\w+(?:[-_.:/+&'\#\\]+\w+)*(?:\(\)|[+\#]+(?!\w))?)
  | (?P<symbol>[$€£¥₹%°]|(?<=\s)&(?=\s)|\.\.\.(?=[\s?!.]*$))
    """,
    re.VERBOSE,
)

# Symbols that people also write as words, and the dots of a text that is left unfinished.
_SYMBOLS = {
    "$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "₹": "rupee",
    "%": "percent", "°": "degree", "&": "and", "...": "...",
}  # fmt: skip

# Units that are written without a space after the number. No "d", "g" or "k": "3d", "5g" and "4k"
# are names of things.
_GLUED_UNIT = re.compile(
    r"(\d+(?:\.\d+)?)(kgs?|mg|lbs?|oz|mm|cm|km|kms|ft|inch|inches|ml|hrs?|hours?|h|mins?|minutes?|"
    r"secs?|seconds?|ms|days?|weeks?|months?|yrs?|years?|am|pm|gb|mb|tb|kb|mph|kmh|kwh|usd|eur|gbp|"
    r"euros?|dollars?|pounds?|percent)"
)
# What is glued to a word by an apostrophe. "'s" may be "is" or a genitive, so it is dropped.
_CLITICS = {"'s": "", "'d": "would", "'ll": "will", "'ve": "have", "'re": "are", "'m": "am"}
_PLAIN_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_NUMBER_WORDS = re.compile(r"(\d+(?:\.\d+)?)((?:-[^\W\d_]{2,})+)")
_ACRONYM = re.compile(r"[^\W\d_](?:\.[^\W\d_])+")
# Punctuation whose presence or absence does not change what is asked.
_SILENT = frozenset(".,!?;:'\"`()-‐‑–—…“”„‘’«»¿¡·•")

# With one of these a text holds code or a formula, where every mark counts.
_CODE = frozenset("=<>+*/^|~\\[]{}@#&")


def fold(text: str) -> str:
    """NFKC, case-folded, straight apostrophes.

    >>> fold("Ｗhat’s Ⅳ")
    "what's iv"
    """
    if text.isascii():
        return text.lower()
    # NFKC can bring back capitals that case folding had removed, and the other way round.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return folded.replace("’", "'").replace("‘", "'").replace("ʼ", "'").replace("´", "'")


def scan(text: str) -> Scan:
    """The tokens of ``text`` and its residue.

    >>> [token.text for token in scan("3-day trip: 1,000 km, $5?").tokens]
    ['3', 'day', 'trip', '1000', 'km', 'dollar', '5']
    >>> scan("a < b 😀").residue
    '<😀'
    """
    return _short_scan(text) if len(text) <= SHORT_CHARACTERS else _scan(text)


def _scan(text: str) -> Scan:
    folded = fold(text)
    if not folded.isascii():
        folded = _UNSPACED.sub(r" \g<0> ", folded)
    folded = folded.rstrip()
    tokens: list[Token] = []
    residue: list[str] = []
    end = 0
    for match in _TOKEN.finditer(folded):
        if match.start() > end:
            residue.append(folded[end : match.start()])
        end = match.end()
        word = match.group()
        kind = match.lastgroup
        if kind == "compound":
            if word.isalpha() and (len(word) > 1 or word.isascii()):
                tokens.append(Token(word, "word"))
            else:
                tokens.extend(_compound(word))
        elif kind in ("number", "thousands"):
            plain = word.replace(",", "").lstrip("+")
            tokens.append(Token("0" + plain if plain.startswith(".") else plain, "number"))
        elif kind == "clitic":
            if _CLITICS[word]:
                tokens.append(Token(_CLITICS[word], "word"))
        elif kind == "symbol":
            tokens.append(Token(_SYMBOLS[word], "word"))
        else:
            tokens.append(Token(word, "identifier"))
    residue.append(folded[end:])
    return Scan(tuple(tokens), _told(residue))


# The store's index and the decision both want the terms of the same texts.
_short_scan = lru_cache(maxsize=4_096)(_scan)


def _told(gaps: list[str]) -> str:
    """What is not ordinary punctuation; in code and formulas, punctuation too."""
    loud = "".join(c for c in "".join(gaps) if not c.isspace() and c not in _SILENT)
    if _CODE.isdisjoint(loud):
        return loud
    inner = (gap.rstrip().rstrip(",.;:?!") if gap[-1:].isspace() else gap for gap in gaps[:-1])
    inside = "".join("".join(inner).split())
    return inside + "".join(gaps[-1].rstrip(".?! ").split())


def _compound(word: str) -> list[Token]:
    """What a run of word characters and inner punctuation is: numbers, words or an identifier."""
    if _UNSPACED.fullmatch(word):
        return [Token(word, "character")]
    if _PLAIN_NUMBER.fullmatch(word):
        return [Token(word, "number")]
    if match := _GLUED_UNIT.fullmatch(word):
        return [Token(match[1], "number"), Token(match[2], "word")]
    if match := _NUMBER_WORDS.fullmatch(word):
        parts = match[2].strip("-").split("-")
        return [Token(match[1], "number"), *(Token(part, "word") for part in parts)]
    if "'" in word:
        stem, mark, rest = word.rpartition("'")
        if mark + rest in _CLITICS and stem.isalpha():
            clitic = _CLITICS[mark + rest]
            return [Token(part, "word") for part in (stem, clitic) if part]
        word = word.replace("'", "")
    if word.isalpha():
        return [Token(word, "word")]
    if _ACRONYM.fullmatch(word):
        return [Token(word.replace(".", ""), "word")]
    if any(c.isdigit() for c in word) or not re.fullmatch(r"[^\W\d_]+(?:[-/:&][^\W\d_]+)*", word):
        return [Token(word, "identifier")]
    if "&" in word:
        return [Token(word, "word")]
    parts = re.split(r"[-/:]", word)
    if any(len(part) == 1 for part in parts):
        return [Token("".join(parts), "word")]  # "e-mail", "x-ray", "vitamin-a"
    return [Token(part, "word") for part in parts]


def terms(text: str) -> tuple[str, ...]:
    """The terms of a text, in order and with multiplicity; empty for a text without words.

    Never raises, whatever the Unicode. Costs about 1 µs a word.

    >>> terms("What does error E-4021 mean in v2.1.3, iPhone15 or foo_bar()?")
    ('what', 'does', 'error', 'e-4021', 'mean', 'in', 'v2.1.3', 'iphone15', 'or', 'foo_bar()')
    >>> terms("1,000 top-ups") == terms("1000 Top ups")
    True
    >>> terms("東京の天気")
    ('東', '京', 'の', '天', '気')
    """
    return tuple(token.text for token in scan(text).tokens)
