"""Terms: identifiers stay whole, numbers are normalised, any text is a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.decision.terms import scan, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What does E-4021 mean?", ("what", "does", "e-4021", "mean")),
        ("v2.1.3 on iPhone15: foo_bar()", ("v2.1.3", "on", "iphone15", "foo_bar()")),
        ("1,000 and 1000 and 1,234,567.50", ("1000", "and", "1000", "and", "1234567.50")),
        ("see https://a.example/b?c=1.", ("see", "https://a.example/b?c=1")),
        ("mail bob@example.com!", ("mail", "bob@example.com")),
        ("5kg, 3-day, 10:30, -5 and .5", ("5", "kg", "3", "day", "10:30", "and")),
        ("don't what's Joe's", ("dont", "what", "joe")),
        ("top-up and/or e-mail", ("top", "up", "and", "or", "email")),
        ("C++ and C#", ("c++", "and", "c#")),
        ("U.S.A.", ("usa",)),
        ("STRASSE straße", ("strasse", "strasse")),
        ("ｆｕｌｌ　ｗｉｄｔｈ", ("full", "width")),
        ("", ()),
        ("?!", ()),
        ("Tell me about...", ("tell", "me", "about", "...")),
    ],
)
def test_examples(text: str, expected: tuple[str, ...]) -> None:
    found = terms(text)
    assert tuple(term for term in found if term not in ("-5", "0.5")) == expected


def test_signs_and_leading_points_are_part_of_a_number() -> None:
    assert terms("-5 and .5") == ("-5", "and", "0.5")


def test_multiplicity_is_kept() -> None:
    assert terms("to be or not to be").count("to") == 2


@pytest.mark.parametrize("text", ["a < b", "a > b", "I 😀 it", "I 😡 it", "a != b"])
def test_what_is_no_word_is_kept_as_residue(text: str) -> None:
    assert scan(text).residue


@given(st.text(alphabet=st.characters(codec=None, exclude_categories=())))
def test_never_raises(text: str) -> None:
    found = terms(text)
    assert all(isinstance(term, str) and term for term in found)


@given(st.integers(min_value=0, max_value=10**12))
def test_thousands_separators_say_nothing(number: int) -> None:
    assert terms(f"pay {number:,} euros") == terms(f"pay {number} euros")
