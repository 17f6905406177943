"""Features: each speaks on its example, none depends on which text is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.decision.features import FEATURES, features

anything = st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=60)
WORDS = "how do i cancel two cards from Rome to Paris 15 not all free"
words = st.sampled_from(WORDS.split())
texts = st.one_of(anything, st.lists(words, max_size=9).map(" ".join))
GIVEN = ("verifier", "cosine", "bm25")
# Shapes of a text are there in equal pairs, too.
SHAPES = ("shortest",)


def measure(a: str, b: str) -> dict[str, float]:
    return features(a, b, cosine=0.9, bm25=0.5, weight=lambda term: 3.0, verifier=1.5)


@pytest.mark.parametrize("name", [name for name in FEATURES if name not in (*GIVEN, *SHAPES)])
def test_each_tells_its_example_from_a_pair_of_equals(name: str) -> None:
    a, b = FEATURES[name].example
    assert measure(a, b)[name] != measure(a, a)[name]
    assert FEATURES[name].description.endswith(".")


def test_all_are_listed_and_what_was_given_is_passed_on() -> None:
    values = measure("reset my pin", "reset my card pin")
    assert set(values) == set(FEATURES)
    assert [values[name] for name in GIVEN] == [1.5, 0.9, 0.5]


def test_a_rare_word_left_over_weighs_more_than_a_common_one() -> None:
    def weight(term: str) -> float:
        return 5.5 if term == "ulaanbaatar" else 1.0

    def rarest(a: str, b: str) -> float:
        return features(a, b, cosine=0.9, bm25=0.5, weight=weight)["rarest"]

    common = rarest("weather in Rome", "weather in Paris")
    assert rarest("weather in Rome", "weather in Ulaanbaatar") > common


@given(texts, texts)
def test_they_are_symmetrical_and_never_fail(a: str, b: str) -> None:
    assert measure(a, b) == pytest.approx(measure(b, a))


@given(texts)
def test_nothing_differs_between_a_text_and_itself(text: str) -> None:
    values = measure(text, text)
    assert values["differences"] == values["words_over"] == values["left_over"] == 0
