"""Inflections of English words brought to one form, without a dictionary.

Weaker than a Porter stemmer on purpose: "organ" and "organization", "general" and "generate" must
stay different, because a wrong equality lets a wrong answer through and a missed one costs only a
call. Plural, third person, past and -ing are removed; derivations are not.
"""

from __future__ import annotations

import re
from functools import lru_cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VOWELS = re.compile(r"[aeiouy]+")
_BRITISH = re.compile(r"(\w{4,}i)s(e|es|ed|ing|er|ation|ations)")
# "-ies" is "-ie" here and "-y" everywhere else.
_IE = _words(
    """
    movies cookies zombies selfies brownies smoothies hoodies calories prairies genies veggies
    indies rookies ties pies lies dies
    """
)
_IRREGULAR = {
    form: base
    for base, forms in {
        "go": "went gone", "buy": "bought", "sell": "sold", "send": "sent", "pay": "paid",
        "make": "made", "lose": "lost", "find": "found", "steal": "stole stolen",
        "take": "took taken", "give": "gave given", "come": "came", "see": "saw seen",
        "write": "wrote written", "win": "won", "die": "died dying", "sing": "sang sung",
        "begin": "began begun", "know": "knew known", "become": "became", "say": "said",
        "tell": "told", "keep": "kept", "leave": "left", "mean": "meant", "meet": "met",
        "build": "built", "break": "broke broken", "choose": "chose chosen", "fall": "fell fallen",
        "speak": "spoke spoken", "eat": "ate eaten", "drive": "drove driven", "fly": "flew flown",
        "wear": "wore worn", "hold": "held", "lead": "led", "feel": "felt", "spend": "spent",
        "child": "children", "man": "men", "woman": "women", "foot": "feet", "tooth": "teeth",
        "mouse": "mice", "person": "people", "wife": "wives", "life": "lives", "leaf": "leaves",
    }.items()
    for form in forms.split()
}  # fmt: skip
# Words that look inflected and are not, or whose inflection is another word.
_WHOLE = _words(
    """
    news always this is his was has does less unless yes thus plus bus gas lens mars texas paris
    during thing nothing something anything everything morning evening king ring spring string
    wing sing bring wedding building bed red need feed speed seed indeed hundred sacred naked
    series species physics politics economics mathematics athletics sms dns aws ios macos
    engineering nursing processing bearing accounting banking marketing housing clothing training
    programming painting drawing writing reading feeling saying boring interesting exciting
    confusing forced used interested bored us process access address business across loss boss
    cross dress express class glass mass pass beijing meaning being ceiling united glasses jeans
    trousers scissors wells
    """
)


@lru_cache(maxsize=16_384)
def stem(word: str) -> str:
    """The form that stands for all inflections of ``word`` (lower case).

    Only words of Latin letters change. ``stem("caring") == stem("care") != stem("car")``.

    >>> [stem(word) for word in ("transfers", "transferred", "stopping", "making", "cities")]
    ['transfer', 'transfer', 'stop', 'make', 'city']
    >>> stem("organization") == stem("organ")
    False
    """
    if word in _IRREGULAR:
        return stem(_IRREGULAR[word])
    if len(word) < 4 or word in _WHOLE or not word.isascii() or not word.isalpha():
        return word
    if (british := _BRITISH.fullmatch(word)) is not None:
        word = british[1] + "z" + british[2]
    if word in _IE:
        return _without_silent_e(word[:-1])
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("ied") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root != word and len(root) >= 3 and _VOWELS.search(root):
            return _base(root)
        if root != word and len(root) == 2 and root[0] in "aeiouy":
            return _base(root)
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return _without_silent_e(word)


def _base(root: str) -> str:
    """What -ing or -ed was added to: "stopp" was "stop", "mak" was "make", "book" was "book"."""
    if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "aeioulsz":
        return root[:-1]
    if len(root) > 4 and root.endswith("ll") and len(_VOWELS.findall(root)) > 1:
        return root[:-1]
    short = len(_VOWELS.findall(root)) == 1
    closed = len(root) >= 2 and root[-1] not in "aeiouywx" and root[-2] in "aeiouy"
    single = len(root) < 3 or root[-3] not in "aeiouy"
    if short and closed and single:
        return root + "e"
    return _without_silent_e(root if not root.endswith(("v", "c", "g", "z", "s")) else root + "e")


def _without_silent_e(word: str) -> str:
    """Longer words lose a final e, because "arriv(ing)" and "open(ing)" cannot be told apart."""
    if word.endswith("e") and len(_VOWELS.findall(word[:-1])) > 1:
        return word[:-1]
    return word
