"""Vetoes: each refuses its example, none refuses a text and itself, all are symmetrical."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from semcache.decision.align import ANALYSED_CHARACTERS, align, same_order
from semcache.decision.align import analyse as read
from semcache.decision.vetoes import ALL, VETOES, vetoes

anything = st.text(alphabet=st.characters(codec=None, exclude_categories=()))
WORDS = """
how do i not can't cancel my the card cards from to Rome Paris by 15 fifteen E-4021 'a b' you a A on
off up turn light it is 東 京 مرحبا 😀 < > this . and or what who when
"""
words = st.sampled_from(WORDS.split())
sentences = st.lists(words, max_size=12).map(" ".join)


def names(a: str, b: str) -> set[str]:
    return {veto.name for veto in vetoes(a, b)}


@pytest.mark.parametrize("name", sorted(VETOES))
def test_each_refuses_its_example_and_can_be_switched_off(name: str) -> None:
    a, b = VETOES[name].example
    assert name in names(a, b)
    assert name not in {veto.name for veto in vetoes(a, b, ALL - {name})}
    assert VETOES[name].description.endswith(".")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Roast it for 15 minutes", "Roast it for 30 minutes"),
        ("a table for two", "a table for three"),
        ("What does E-4021 mean?", "What does E-4022 mean?"),
        ("changes in v1.10", "changes in v11.0"),
        ("odds of 1-15", "odds of 11-5"),
        ("Python 3.1 release", "Python 3.10 release"),
        ("pay $5", "pay €5"),
        ("How many MB is 3 GiB?", "How many MB is 3 Gib?"),
        ("the 1st stage", "the 2nd stage"),
        ("wake me at 8 am", "wake me at 8 pm"),
        ("flights on 4 May", "flights on 4 June"),
        ("Can I fly with a knife?", "Can I not fly with a knife?"),
        ("How do I enable 2FA?", "How do I disable 2FA?"),
        ("should I buy gold", "should I sell gold"),
        ("eat before the test", "eat after the test"),
        ("euros to dollars", "dollars to euros"),
        ("5 lbs in kg", "5 kg in lbs"),
        ("train from Rome to Paris", "train from Paris to Rome"),
        ("next train to Utrecht", "next train from Utrecht"),
        ("Is helium lighter than hydrogen?", "Is hydrogen lighter than helium?"),
        ("who beat Germany", "who did Germany beat"),
        ("Did Anna sell the rifle?", "Was Anna sold by the rifle?"),
        ("What do Croats think of Turks?", "What do Turks think of Croats?"),
        ("When was Rome founded?", "Why was Rome founded?"),
        ("Who is the pope?", "Who was the pope?"),
        ("Did the 8:14 train run?", "Will the 8:14 train run?"),
        ("What is my name?", "What is your name?"),
        ("Did I pay you?", "Did you pay me?"),
        ("would he reject her", "would she reject him"),
        ("How do I solve an equation in R?", "How do I solve an equation?"),
        ("What is vitamin A?", "What is a vitamin?"),
        ("population of the US", "population"),
        ("What is it for?", "What is it?"),
        ("What does nitrogen do?", "What is nitrogen?"),
        ("How do I stop lying?", "How do I stop lying to myself?"),
        ("turn the light on", "turn the light off"),
        ("salts of nitrate", "salts of nitrite"),
        ("Is x != y", "Is x = y"),
        ("unread mails about HR", "unread mails from HR"),
        ("東京の天気", "京都の天気"),
        ("الطقس في القاهرة", "الطقس في دبي"),
        ("I am 😀", "I am 😡"),
        ("हिन्दी", "हिन्दा"),
    ],
)
def test_different_questions_are_refused(a: str, b: str) -> None:
    assert vetoes(a, b)
    assert vetoes(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Could you please tell me how to reset my PIN?", "how do i reset my pin"),
        ("Roast it for 15 minutes", "roast it for fifteen minutes!"),
        ("pay 1,000 euros", "Pay 1000 euros"),
        ("What does E-4021 mean?", "what does e4021 mean"),
        ("I can't find my card", "i cannot find my card"),
        ("Turn the lights off", "turn off the lights"),
        ("What is the weather in New York?", "New York weather"),
        ("a fjord or a bay", "a bay or a fjord"),
        ("How do I use my acount?", "How do I use my account?"),
        ("transferring money", "transfer money"),
        ("Which colour is it?", "which color is it"),
        ("a 5kg bag", "a 5 kg bag"),
        ("where is the superbowl", "where is the super bowl"),
        ("From Rome, how long does the train take?", "How long does the train take from Rome?"),
        ("東京の天気", "東京の天気?"),
    ],
)
def test_the_same_question_in_other_words_passes(a: str, b: str) -> None:
    assert vetoes(a, b) == ()
    assert vetoes(b, a) == ()


@given(anything)
@example("\ud800")
@example("\x00")
@example("x" * (2 * ANALYSED_CHARACTERS))
def test_nothing_is_held_against_a_text_and_itself(text: str) -> None:
    assert vetoes(text, text) == ()


@given(anything | sentences, anything | sentences)
def test_symmetrical_and_printable(a: str, b: str) -> None:
    there, back = vetoes(a, b), vetoes(b, a)
    assert [veto.name for veto in there] == [veto.name for veto in back]
    for veto in there:
        veto.detail.encode("utf-8")
        assert "\x00" not in veto.detail


@settings(max_examples=300)
@given(sentences, sentences)
def test_symmetrical_on_sentences(a: str, b: str) -> None:
    assert names(a, b) == names(b, a)


@given(sentences)
def test_case_and_end_are_no_difference_of_a_plain_text(text: str) -> None:
    plain = " ".join(word for word in text.split() if word.isascii() and word.isalpha()).lower()
    assert vetoes(plain, plain + "  ?") == ()


@given(sentences, st.integers(0, 10**9), st.integers(0, 10**9), sentences)
def test_another_number_is_always_refused(before: str, one: int, two: int, after: str) -> None:
    a, b = f"{before} {one} {after}", f"{before} {two} {after}"
    assert ("number" in names(a, b)) == (one != two)


@given(anything, anything)
def test_alignment_never_raises_and_loses_nothing(a: str, b: str) -> None:
    aligned = align(a, b)
    assert len(aligned.first) == len(aligned.second)
    assert same_order(aligned.first, aligned.second) == same_order(aligned.second, aligned.first)
    read(a)


def test_a_difference_beyond_what_is_analysed_is_refused() -> None:
    long = "word " * ANALYSED_CHARACTERS
    assert names(long + "a", long + "b") == {"length"}
