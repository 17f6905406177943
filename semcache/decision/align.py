"""Two texts laid side by side: what they share, and what is left over on either side.

``analyse`` reads one text once (cached): its content words brought to one form, its numbers,
identifiers, quoted spans, and the grammar that changes what is asked (negation, question word,
person, tense, direction). ``align`` compares two analyses. The vetoes only look at the result.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from semcache.decision import lexicon as lex
from semcache.decision.inflection import stem
from semcache.decision.terms import Token, fold, scan

# Longer texts are compared by what they begin with, and then refused (veto "length"): a difference
# beyond it cannot be seen. 4,000 characters are about 700 words and take about 2 ms to read.
ANALYSED_CHARACTERS = 4_000

# Shorter words have too many real neighbours for a typo to be told from another word.
TYPO_LETTERS = 6

# End of the block Latin Extended-B.
LAST_LATIN = "\u024f"

_SHOUTED = re.compile(r"(?<![\w'])[A-Z]{2,}(?![\w'])")
_QUOTES = frozenset("`\"“'«")
_QUOTED = re.compile(r"`([^`]+)`|\"([^\"]+)\"|“([^”]+)”|(?<!\w)'([^']+)'(?!\w)|«([^»]+)»")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z]\w+")
# Bits and bytes differ by the case of one letter.
_CASED_UNIT = re.compile(r"(?<![A-Za-z])[KMGTkmgt]i?(?:b(?![A-Za-z])|b(?=ps)|bit)")
# "E-4021" is "E4021", but "1-15" is not "11-5": only beside a letter does a separator say nothing.
_SEPARATOR = re.compile(r"(?<=[^\W\d])[-_.](?=\w)|(?<=\w)[-_.](?=[^\W\d])")
# Letters that are names and not words: "vitamin A", "Elizabeth I", "in R", "option u".
_LETTER = re.compile(
    r"(?<=[a-z] )A(?![\w'])|(?<=\w )[aiI](?=\W*$)|(?<=[a-z,] )[A-Z]\w+ I(?![\w'])"
    r"|(?<![\w'])[RU](?![\w'])"
)
_PHRASES = lex.phrase_index(lex.PHRASES)
_MEASURES = {stem(lex.SYNONYMS.get(word, word)): measure for word, measure in lex.MEASURES.items()}


@dataclass(frozen=True, slots=True)
class Content:
    """One word of content and its place.

    Attributes:
        key: its form for comparison.
        text: as it was written, folded.
        direction: the preposition of its phrase ("to" for both words of "to New York"), or ``""``.
        opens: whether a phrase begins here: grammar other than an article stands before it.
        joined: whether only "and" stands between it and the word before.
        article: ``"the"`` (also for "my", "your", ...) or ``"a"`` before its phrase, or ``""``.
    """

    key: str
    text: str
    direction: str = ""
    opens: bool = True
    joined: bool = False
    article: str = ""


@dataclass(frozen=True, slots=True)
class Analysis:
    """One text, read.

    Attributes:
        content: content words, numbers and identifiers, in order.
        numbers, identifiers: their comparison forms, sorted, with multiplicity.
        quoted: the texts in quotation marks or backticks, folded and sorted.
        negated: what each negation negates (``""`` where there is only one thing to negate).
        question: kind of question: ``"who"``, ``"how many"``, ``"yes/no"``, ... or ``""``.
        further: what else is asked beside it (when, where, why, how).
        person: ``"i"``, ``"you"``, ``"he"``, ``"she"``, ``"they"`` in order; empty where there is
            no other person than the asker.
        small: words of grammar that must agree in long texts, sorted.
        odd: words that are grammar in a sentence and may be content in keywords, sorted.
        pointing: how often something is pointed at ("this error"), which only its asker can see.
        tense: ``"past"``, ``"present"``, ``"future"``; modality: ``"must"``, ``"can"``.
        names: folded words that are written with a capital inside a sentence.
        residue: characters that belong to no term (emoji, operators).
        cut: whether the text is longer than what was analysed.
        foreign: whether it seems to be written in another language than English.
    """

    content: tuple[Content, ...]
    numbers: tuple[str, ...]
    identifiers: tuple[str, ...]
    quoted: tuple[str, ...]
    negated: tuple[str, ...]
    question: str
    further: frozenset[str]
    person: tuple[str, ...]
    small: tuple[str, ...]
    odd: tuple[str, ...]
    pointing: int
    tense: frozenset[str]
    modality: frozenset[str]
    names: frozenset[str]
    residue: str
    cut: bool
    foreign: bool


@dataclass(frozen=True, slots=True)
class Alignment:
    """What is left over on each side after everything equal was paired, and the order of the rest.

    ``first`` and ``second`` hold the shared content words in the order of each text, by the same
    keys; they differ only where the order does.
    """

    left: tuple[Content, ...]
    right: tuple[Content, ...]
    first: tuple[Content, ...]
    second: tuple[Content, ...]


@lru_cache(maxsize=8_192)
def analyse(text: str) -> Analysis:
    """Read one text; pure, never raises, at most ``ANALYSED_CHARACTERS`` of it.

    >>> [word.key for word in analyse("Can you tell me how to cancel two transfers?").content]
    ['cancel', '#2', 'transfer']
    >>> analyse("How many cards may I have?").question
    'how many'
    """
    cut = len(text) > ANALYSED_CHARACTERS
    text = text[:ANALYSED_CHARACTERS]
    scanned = scan(text)
    tokens = _without_phrases(_expanded(scanned.tokens))
    content = _content(tokens, _shouted(text)) + _lettered(text)
    words = [token.text for token in tokens]
    clauses = not lex.CLAUSES.isdisjoint(words)
    return Analysis(
        content=content,
        numbers=tuple(sorted(word.key for word in content if word.key.startswith("#"))),
        identifiers=tuple(sorted(word.key for word in content if word.key.startswith("id:"))),
        quoted=_quoted(text),
        negated=_negated(tokens, content, clauses),
        question=_question(words),
        further=frozenset(words) & lex.FURTHER_QUESTIONS,
        person=_person(words),
        small=_counted(words, lex.SMALL),
        odd=_counted(words, lex.ODD),
        pointing=sum(word in lex.POINTING for word in words),
        tense=_tense(words),
        modality=_modality(words),
        names=frozenset(name.lower() for name in _NAME.findall(text)),
        residue=scanned.residue + "".join(_CASED_UNIT.findall(text)),
        cut=cut,
        foreign=_foreign(text, words),
    )


@lru_cache(maxsize=256)
def align(query: str, candidate: str) -> Alignment:
    """Pair what is equal up to inflection, synonyms and typing errors.

    >>> left = align("how do I cancel my transfer", "How to cancel transfers to Spain?")
    >>> [word.text for word in left.left], [word.text for word in left.right]
    ([], ['spain'])
    """
    one, two = analyse(query).content, analyse(candidate).content
    left, right = _leftovers(one, two)
    if left and right:
        if any(word.key.startswith("#") for word in (*left, *right)):
            one, two = _one_measure(one, two)
            left, right = _leftovers(one, two)
        one, two = _one_spelling(one, two, left, right)
        left, right = _leftovers(one, two)
    return Alignment(left, right, _shared(one, left), _shared(two, right))


def _shared(words: tuple[Content, ...], spare: Sequence[Content]) -> tuple[Content, ...]:
    return _without(words, [word.key for word in spare]) if spare else words


def _leftovers(
    one: Sequence[Content], two: Sequence[Content]
) -> tuple[tuple[Content, ...], tuple[Content, ...]]:
    """The words of each side that the other has not, or not as often; in order."""
    keys_one, keys_two = [word.key for word in one], [word.key for word in two]
    if keys_one == keys_two:
        return (), ()
    return _without(one, keys_two), _without(two, keys_one)


def _without(words: Sequence[Content], keys: Sequence[str]) -> tuple[Content, ...]:
    """``words`` less those keys, each as often as it is among them."""
    spare = list(keys)
    kept = []
    for word in words:
        if word.key in spare:
            spare.remove(word.key)
        else:
            kept.append(word)
    return tuple(kept)


def _one_measure(
    one: tuple[Content, ...], two: tuple[Content, ...]
) -> tuple[tuple[Content, ...], tuple[Content, ...]]:
    """Both texts with the quantities that they share written alike ("1 hour", "60 minutes")."""
    measures = [_measures(one), _measures(two)]
    shared = set(measures[0].values()) & set(measures[1].values())
    if not shared:
        return one, two
    return _measured(one, measures[0], shared), _measured(two, measures[1], shared)


Measure = tuple[float, str]


def _measures(words: Sequence[Content]) -> dict[int, Measure]:
    """Where a unit of ``lexicon.MEASURES`` follows a number: its value in the base unit."""
    found: dict[int, Measure] = {}
    for position, (number, unit) in enumerate(pairwise(words)):
        known = _MEASURES.get(unit.key)
        if known and not unit.opens and re.fullmatch(r"#\d+(\.\d+)?", number.key):
            size, base = known
            found[position] = (round(float(number.key[1:]) * size, 9), base)
    return found


def _measured(
    words: Sequence[Content], measures: Mapping[int, Measure], shared: set[Measure]
) -> tuple[Content, ...]:
    written: list[Content] = []
    for position, word in enumerate(words):
        here, before = measures.get(position), measures.get(position - 1)
        if here in shared and here is not None:
            word = replace(word, key=f"#{here[0]:g}")
        elif before in shared and before is not None:
            word = replace(word, key=before[1])
        written.append(word)
    return tuple(written)


def _one_spelling(
    one: tuple[Content, ...],
    two: tuple[Content, ...],
    left: Sequence[Content],
    right: Sequence[Content],
) -> tuple[tuple[Content, ...], tuple[Content, ...]]:
    """Both texts with typing errors and split compounds written as the other side writes them."""
    renamed = {
        theirs.key: ours.key for ours in left for theirs in right if is_typo(ours.key, theirs.key)
    }
    if renamed:
        two = tuple(replace(word, key=renamed.get(word.key, word.key)) for word in two)
    return _merged(one, right), _merged(two, left)


def _merged(words: tuple[Content, ...], others: Sequence[Content]) -> tuple[Content, ...]:
    """``words`` with neighbours that the other side writes as one: "super bowl", "superbowl"."""
    compounds = {word.key for word in others if word.text.isalpha()}
    beginnings = {key[:3] for key in compounds}  # only a whole that begins like one is stemmed
    merged: list[Content] = []
    for word in words:
        if merged and not word.opens:
            whole = merged[-1].text + word.text
            if whole[:3] in beginnings and (key := _key(whole)) in compounds:
                merged[-1] = replace(merged[-1], key=key, text=whole)
                continue
        merged.append(word)
    return tuple(merged)


def _content(tokens: Sequence[Token], shouted: frozenset[str]) -> tuple[Content, ...]:
    """Content words, numbers and identifiers in order, each with its place in a phrase."""
    content: list[Content] = []
    direction = ""
    opens, joined, article = True, False, ""
    position = 0
    while position < len(tokens):
        token = tokens[position]
        word = token.text
        key, used = _number(tokens, position)
        if used:
            word = key.lstrip("#")
        elif token.kind == "identifier":
            key = "id:" + (_SEPARATOR.sub("", word.removesuffix("()")) or word)
        elif token.kind == "character":
            key = word
        elif word in lex.NEGATIONS:
            direction = word if word in lex.NEGATING_PREPOSITIONS else ""
            opens, joined, article = True, False, ""
        elif word in lex.FUNCTION and not _is_content(tokens, position, shouted):
            article = lex.ARTICLE_KINDS.get(word, "")
            if word not in lex.ARTICLES:
                direction = _direction(tokens, position)
                joined = word == "and" and not opens
                opens = True
        else:
            key = _key(word)
        if key:
            content.append(Content(key, word, direction, opens, joined, article))
            opens, joined = False, False
        position += used or 1
    return tuple(content)


def _shouted(text: str) -> frozenset[str]:
    """Words in capitals within a text that is not: "IT", "US" and "WHO" are names there."""
    if text.isupper():
        return frozenset()
    return frozenset(word.lower() for word in _SHOUTED.findall(text))


def _lettered(text: str) -> tuple[Content, ...]:
    """Single letters and quoted grammar that are names of themselves, not words of the sentence."""
    letters = [] if text.isupper() else [found[-1].lower() for found in _LETTER.findall(text)]
    spans = [span for span in _quoted(text) if not _content(scan(span).tokens, frozenset())]
    return tuple(Content(f"id:{name}", name) for name in (*letters, *spans))


def _quoted(text: str) -> tuple[str, ...]:
    if _QUOTES.isdisjoint(text):
        return ()
    spans = ("".join(groups) for groups in _QUOTED.findall(text))
    return tuple(sorted(" ".join(fold(span).split()) for span in spans))


def _expanded(tokens: Sequence[Token]) -> list[Token]:
    """Contractions in full, and filler left out."""
    first, last = 0, len(tokens)
    while first < last and tokens[first].text in lex.INTERJECTIONS | lex.FILLER:
        first += 1
    while last > first and tokens[last - 1].text in lex.INTERJECTIONS | lex.FILLER:
        last -= 1
    expanded: list[Token] = []
    for token in tokens[first:last]:
        if token.kind != "word":
            expanded.append(token)
        elif token.text in lex.CONTRACTIONS:
            expanded.extend(Token(part, "word") for part in lex.CONTRACTIONS[token.text])
        elif token.text not in lex.FILLER:
            expanded.append(token)
    return expanded


def _without_phrases(tokens: Sequence[Token]) -> list[Token]:
    """Politeness dropped (only before anything else was said) and set phrases replaced."""
    words = [token.text for token in tokens]
    kept: list[Token] = []
    said = False
    position = 0
    while position < len(tokens):
        for phrase, replacement in _PHRASES.get(words[position], ()):
            if tuple(words[position : position + len(phrase)]) != phrase:
                continue
            if replacement or not said:
                kept.extend(Token(word, "word") for word in replacement)
                position += len(phrase)
                said = said or bool(replacement)
                break
        else:
            kept.append(tokens[position])
            said = True
            position += 1
    return kept


def _number(tokens: Sequence[Token], position: int) -> tuple[str, int]:
    """The number that begins here as ``#value`` and how many tokens it takes, or ``("", 0)``."""
    token = tokens[position]
    if token.kind == "number":
        after = tokens[position + 1].text if position + 1 < len(tokens) else ""
        if after in lex.MAGNITUDES and token.text.isascii() and token.text.isdigit():
            return f"#{int(token.text) * lex.MAGNITUDES[after]}", 2
        return f"#{token.text}", 1
    if token.text in lex.ORDINAL_WORDS:
        return f"#{lex.ORDINAL_WORDS[token.text]}", 1
    if re.fullmatch(r"\d+(?:st|nd|rd|th)", token.text):
        return f"#{token.text}", 1
    total = current = used = 0
    for token in tokens[position:]:
        word = token.text
        if word in lex.NUMBER_WORDS:
            value = lex.NUMBER_WORDS[word]
            # "twenty five" is one number; "one two" and "five twenty" are two.
            if used and current % 100 and not (current % 100 >= 20 and 0 < value < 10):
                break
            current += value
        elif word == "hundred" and used:
            current = max(current, 1) * 100
        elif word in lex.MAGNITUDES and used:
            total += max(current, 1) * lex.MAGNITUDES[word]
            current = 0
        else:
            break
        used += 1
    return (f"#{total + current}", used) if used else ("", 0)


def _is_content(tokens: Sequence[Token], position: int, shouted: frozenset[str]) -> bool:
    """Whether a function word is content here: a name, the month of May, the state of being on."""
    word = tokens[position].text
    if word in shouted:
        return True
    before = tokens[position - 1].text if position else ""
    after = tokens[position + 1].text if position + 1 < len(tokens) else ""
    if word == "may":
        beside = (*tokens[max(0, position - 1) : position], *tokens[position + 1 : position + 2])
        return before in lex.BEFORE_MONTH or any(token.kind == "number" for token in beside)
    if word == "on":
        return before in lex.TAKES_ON or bool(before and (not after or after in lex.DIRECTIONS))
    if word in lex.DOING:
        main = any(token.text in lex.DOING for token in tokens[:position])
        return main or word == "doing" or before in lex.BEFORE_VERB
    if word == "it":  # "it support", but "it is useful"
        return not before and bool(after) and after not in lex.AFTER_PRONOUN
    if word == "am":
        return position > 0 and tokens[position - 1].kind == "number"
    if word == "in" and before in lex.BEING and position > 1:
        return tokens[position - 2].text == "what"
    if word == "will":
        return before in lex.ARTICLES
    if word in lex.DANGLING:
        return bool(before) and not after
    if word == "some":
        return before == "are"
    return False


def _direction(tokens: Sequence[Token], position: int) -> str:
    """What a function word says of the place of the next content word."""
    word = tokens[position].text
    if word == "to" and position and tokens[position - 1].text in lex.INFINITIVE:
        return ""
    return lex.DIRECTIONS.get(word, "")


def _key(word: str) -> str:
    word = lex.MISSPELLINGS.get(word, word)
    known = lex.SYNONYMS.get(word)
    if known is None:
        root = stem(word)
        known = lex.SYNONYMS.get(root, root)
    return stem(known)


def _question(words: Sequence[str]) -> str:
    if len(words) > 1 and words[0] in lex.BEING and words[1] == "there":
        return "is there"
    if len(words) > 1 and words[0] in lex.ASKING and words[1] not in lex.NEGATIONS:
        return "yes/no"
    for position, word in enumerate(words):
        if word in lex.QUESTION_WORDS:
            after = words[position + 1] if position + 1 < len(words) else ""
            if word == "how" and after in lex.HOW_KINDS:
                return f"how {after}"
            if word in ("whom", "whose"):
                return "who"
            return "what" if word == "which" else word
    return ""


def _counted(words: Sequence[str], among: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(lex.SMALL_FORMS.get(word, word) for word in words if word in among))


def _person(words: Sequence[str]) -> tuple[str, ...]:
    people: list[str] = []
    for word in words:
        person = lex.THIRD_PERSON.get(word, "")
        if word in lex.SECOND_PERSON:
            person = "you"
        elif word in lex.FIRST_PERSON:
            person = "i"
        if person and person not in people[-1:]:
            people.append(person)
    return tuple(people) if people != ["i"] else ()


def _negated(tokens: Sequence[Token], content: Sequence[Content], clauses: bool) -> tuple[str, ...]:
    """What stands after each negation, sorted; ``""`` where it goes with a helping verb.

    "Why does it not work" and "why doesn't it work" differ in what stands there. With several
    clauses it still has to be the same word.
    """
    texts = {word.text: word.key for word in content}
    found = []
    for position, token in enumerate(tokens):
        if token.text not in lex.NEGATIONS:
            continue
        helping = position > 0 and tokens[position - 1].text in lex.ASKING
        if helping and not clauses:
            found.append("")
            continue
        after = (other.text for other in tokens[position + 1 :])
        found.append(next((texts[text] for text in after if text in texts), ""))
    return tuple(sorted(found))


def _tense(words: Sequence[str]) -> frozenset[str]:
    times = set()
    if any(word in lex.PAST for word in words):
        times.add("past")
    if any(word in lex.FUTURE for word in words):
        times.add("future")
    if any(word in lex.PRESENT for word in words):
        times.add("present")
    return frozenset(times)


def _foreign(text: str, words: Sequence[str]) -> bool:
    """Letters of another script, or more of the commonest words of other languages than English."""
    if any(letter > LAST_LATIN and letter.isalpha() for letter in text):
        return True
    others = sum(word in lex.OTHER_LANGUAGES for word in words)
    return others > sum(word in lex.FUNCTION for word in words)


def _modality(words: Sequence[str]) -> frozenset[str]:
    modes = set()
    if any(word in lex.OBLIGATION for word in words):
        modes.add("must")
    if any(word in lex.ABILITY for word in words):
        modes.add("can")
    return frozenset(modes)


def is_typo(one: str, two: str) -> bool:
    """Whether two long words differ by two letters exchanged or one letter doubled.

    Other slips exist, but other edits also lead from one real word to another ("nitrate" and
    "nitrite", "contact" and "contract"), and without a dictionary they cannot be told apart.

    >>> is_typo("account", "acount"), is_typo("recieve", "receive"), is_typo("nitrate", "nitrite")
    (True, True, False)
    """
    if len(one) > len(two):
        one, two = two, one
    if len(one) < TYPO_LETTERS or not one.isascii() or not (one + two).isalpha():
        return False
    if frozenset((one, two)) in lex.NOT_TYPOS or len(two) - len(one) > 1:
        return False
    split = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), len(one))
    if len(one) == len(two):
        swapped = two[:split] + two[split + 1 : split + 2] + two[split : split + 1]
        return split > 0 and swapped + two[split + 2 :] == one
    return split > 0 and one[split:] == two[split + 1 :] and two[split] == two[split - 1]


def multiset_difference(
    one: Sequence[str], two: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What each side has more of, in order."""
    if one == two:
        return (), ()
    left, right = [], list(two)
    for item in one:
        if item in right:
            right.remove(item)
        else:
            left.append(item)
    return tuple(left), tuple(right)


def same_order(first: Sequence[Content], second: Sequence[Content], nominal: bool = True) -> bool:
    """Whether two orders of the same words say the same, as far as can be told for certain.

    Harmless are: a particle that moves ("turn the light off"), two things joined by "and" or "or",
    a whole phrase that moves with its preposition ("in Rome, where ..."), and a noun that moves
    before the one it was joined to ("weather in Rome", "Rome weather"). ``nominal``: the texts
    begin with a noun and not with a verb, whose object and subject would be exchanged by that.

    >>> same_order(
    ...     analyse("What is the weather in New York").content, analyse("New York weather").content
    ... )
    True
    >>> same_order(analyse("euros to dollars").content, analyse("dollars to euros").content)
    False
    """
    if [word.key for word in first] == [word.key for word in second]:
        return True
    if _particles(first) != _particles(second):
        return False
    one, two = _phrases(_settled(first)), _phrases(_settled(second))
    if one == two or _one_moved(one, two):
        return True
    if len(first) < 3:
        return False
    return _plain(one) in _moved(two, nominal) or _plain(two) in _moved(one, nominal)


Phrase = tuple[str, tuple[str, ...]]


def _particles(words: Sequence[Content]) -> list[str]:
    return [word.key for word in words if word.key in lex.PARTICLES]


def _settled(words: Sequence[Content]) -> list[Content]:
    """Without particles, and with what "and" or "or" joins in alphabetical order."""
    settled = [word for word in words if word.key not in lex.PARTICLES]
    for i in range(1, len(settled)):
        one, two = settled[i - 1], settled[i]
        if two.joined and two.key < one.key and not one.key.startswith("#"):
            settled[i - 1], settled[i] = (
                replace(one, key=two.key, text=two.text),
                replace(two, key=one.key, text=one.text, direction=one.direction),
            )
    for i in range(2, len(settled)):
        one, middle, two = settled[i - 2 : i + 1]
        if middle.key == "or" and two.key < one.key:
            settled[i - 2] = replace(one, key=two.key, text=two.text)
            settled[i] = replace(two, key=one.key, text=one.text)
    return settled


def _phrases(words: Sequence[Content]) -> list[Phrase]:
    """Runs of content words, each with the preposition before it."""
    phrases: list[Phrase] = []
    for word in words:
        if word.opens or not phrases:
            phrases.append((word.direction, (word.key,)))
        else:
            direction, keys = phrases[-1]
            phrases[-1] = (direction, (*keys, word.key))
    return phrases


def _one_moved(one: Sequence[Phrase], two: Sequence[Phrase]) -> bool:
    """Whether one phrase moved, whole and with a preposition that no other phrase has."""
    if Counter(one) != Counter(two):
        return False
    uses = Counter(direction for direction, _ in one)
    for phrase in one:
        if phrase[0] and uses[phrase[0]] == 1:
            rest_one = [other for other in one if other != phrase]
            rest_two = [other for other in two if other != phrase]
            if rest_one == rest_two:
                return True
    return False


Flat = tuple[str, ...]


def _plain(phrases: Sequence[Phrase]) -> Flat:
    """The words in order; "|" where more than a joining preposition separates them."""
    plain: Flat = ()
    for direction, keys in phrases:
        plain += keys if direction in lex.JOINING or not plain else ("|", *keys)
    return plain


def _moved(phrases: Sequence[Phrase], nominal: bool) -> set[Flat]:
    """``_plain`` with every noun of a joining preposition moved before what it belongs to.

    That is the whole phrase before it ("tyre pressure of the car"), or the last word of that
    ("lower the volume of the speakers").
    """
    whole: Flat = ()
    last: Flat = ()
    previous: Flat = ()
    for direction, keys in phrases:
        if direction in lex.JOINING and previous and _movable(previous, keys):
            whole = whole[: -len(previous)] + keys + previous
            last = last[:-1] + keys + last[-1:]
            previous = keys + previous
        else:
            gap = ("|",) if previous else ()
            whole, last, previous = whole + gap + keys, last + gap + keys, keys
    if nominal:
        return {whole, last}
    return {last} if phrases and len(phrases[0][1]) > 1 else set()


def _movable(noun: Flat, before: Flat) -> bool:
    """Whether it means the same with ``before`` in front; not so with numbers and units."""
    counted = any(key.startswith("#") for key in noun)
    return not counted and not (lex.UNITS.intersection(noun) and lex.UNITS.intersection(before))
