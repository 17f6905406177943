"""What is query, what is scope, and which two requests are the same one."""

from __future__ import annotations

import base64
import copy
import json
import string
import unicodedata
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.errors import ConfigurationError
from semcache.request import Request, layout_matters, normalise_query
from semcache.scope import Keys, Scope

KEYS = Keys(b"0123456789abcdef")


def key(request: Request) -> str:
    return KEYS.entry(KEYS.scope(request.scope), normalise_query(request.query))


def user(content: Any, **others: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **others}


def image(content: bytes) -> dict[str, Any]:
    url = "data:image/png;base64," + base64.b64encode(content).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


def call(arguments: Any, name: str = "find") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }


SYSTEM = {"role": "system", "content": "Be brief."}
HISTORY = [user("Which is larger, 3 or 5?"), {"role": "assistant", "content": "5"}]
QUESTION = user("And the second one?")
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
CALL: dict[str, Any] = {
    "messages": [SYSTEM, *HISTORY, QUESTION],
    "model": "gpt-5",
    "tenant": "acme",
    "user": "u-1",
    "namespace": "faq",
    "tools": [TOOL],
    "tool_choice": "auto",
    "response_format": {"type": "json_object"},
    "temperature": 0.5,
    "top_p": 1,
    "seed": 7,
    "max_tokens": 100,
    "stop": ["\n"],
}


def chat(**changes: Any) -> Request:
    arguments = {**CALL, **changes}
    return Request.from_chat(arguments.pop("messages"), **arguments)


# --- normalise_query ---------------------------------------------------------------------------

words = st.text(string.ascii_letters + string.digits + "éß€漢.,!?-", min_size=1, max_size=8).filter(
    lambda word: not word.endswith("?") and "--" not in word
)
spaces = st.sampled_from([" ", "  ", "\n", "\t", "\r\n", " \n", "\n\n", "\u00a0", "   "])


@given(st.lists(st.tuples(words, spaces), min_size=1), spaces)
def test_white_space_between_words_does_not_matter(pairs: list[tuple[str, str]], lead: str) -> None:
    spaced = lead + "".join(word + space for word, space in pairs)
    assert normalise_query(spaced) == " ".join(unicodedata.normalize("NFC", w) for w, _ in pairs)


@given(st.text())
def test_unicode_form_does_not_matter(query: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, query) for form in ("NFC", "NFD"))
    assert normalise_query(composed) == normalise_query(decomposed)


# Text in which everything that decides about layout turns up often.
layouts = st.text(st.sampled_from([*"ab:{(;#-'\"` \n\t\ré"]), max_size=40)


@given(st.text() | layouts)
def test_normal_form_is_its_own_normal_form(query: str) -> None:
    once = normalise_query(query)
    assert normalise_query(once) == once


@given(st.text() | layouts, st.sampled_from([" ", "\n", "\t", "  \n "]))
def test_outer_white_space_does_not_matter(query: str, outer: str) -> None:
    assert normalise_query(outer + query + outer) == normalise_query(query.strip())


@given(layouts)
def test_kind_of_line_ending_does_not_matter(query: str) -> None:
    unix = query.replace("\r", "")
    assert normalise_query(unix.replace("\n", "\r\n")) == normalise_query(unix)


@given(st.text() | layouts)
def test_only_white_space_is_ever_changed(query: str) -> None:
    kept = "".join(unicodedata.normalize("NFC", query).split())
    assert "".join(normalise_query(query).split()) == kept


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is NASA?", "what is nasa?"),
        ("Let's eat, grandma", "Let's eat grandma"),
        ("What is 1 0?", "What is 10?"),
        ("therapist", "the rapist"),
        # Indentation: Python, YAML, outlines.
        ("Run:\nif x:\n    a()\nb()", "Run:\nif x:\n    a()\n    b()"),
        ("if x: a()\nb()", "if x:\n    a()\n    b()"),
        ("a:\n  b: 1\nc: 2", "a:\n  b: 1\n  c: 2"),
        ("root\n  one\n    two", "root\n  one\n  two"),
        # Line breaks: comments, statements, lists.
        ("SELECT 1 -- all\nFROM t", "SELECT 1 -- all FROM t"),
        ("x = 1 # one\ny = 2", "x = 1 # one y = 2"),
        ("f(); // call\ng();", "f(); // call g();"),
        ("Which is longest?\nfoo bar\nbaz", "Which is longest?\nfoo\nbar baz"),
        ("Sort these:\nfoo bar\nbaz", "Sort these:\nfoo\nbar baz"),
        # Blanks inside quotes and fences.
        ('Split "a  b" at blanks', 'Split "a b" at blanks'),
        ("Split 'a\tb' at blanks", "Split 'a b' at blanks"),
        ("What does `a  b` mean?", "What does `a b` mean?"),
        ("Say \"a\nb\" and 'c'", "Say \"a b\" and 'c'"),
        ("```\na  b\n```", "```\na b\n```"),
    ],
)
def test_what_may_change_the_meaning_gives_another_key(one: str, other: str) -> None:
    assert key(Request(one)) != key(Request(other))


@pytest.mark.parametrize(
    "query",
    [
        "Don't ask  whether it's\nhere",
        'He said "no" and  then "yes"',
        "How do I reset\n    my password\n    from here",
        "One sentence.\nAnother sentence.\r\nA third.",
        "See https://example.org//x\nfor more",
    ],
)
def test_prose_may_be_wrapped_as_one_likes(query: str) -> None:
    assert not layout_matters(query)
    assert normalise_query(query) == " ".join(query.split())


@pytest.mark.parametrize(
    "query",
    [
        "don't " + "a  " * 300_000,
        "\"'`" * 300_000 + "  ",
        "a:\n" * 300_000,
        " " * 1_000_000,
        "x\n" * 500_000,
        "# " * 500_000,
        "\u0301" * 1_000_000,
    ],
    ids=["apostrophe", "quotes", "openings", "blanks", "lines", "comments", "marks"],
)
@pytest.mark.timeout(30)  # some 0.1 s each; with a regular expression that goes back, minutes
def test_a_megabyte_takes_no_longer_than_reading_it(query: str) -> None:
    normalise_query(query)


@pytest.mark.parametrize("query", ["", " \n", "\0", "a\0b", "\ud800", "\ud83d\ude00", "\ufeff"])
def test_odd_text_has_a_key(query: str) -> None:
    assert len(key(Request(query))) == 32


def test_odd_texts_are_told_apart() -> None:
    odd = ["", "\0", "\0\0", "\ud800", "\udc00", "\ud83d" + "\ude00", "\U0001f600", "\ufeff", "a"]
    assert len({key(Request(query)) for query in odd}) == len(odd)


@pytest.mark.parametrize("query", [None, b"hi", 5, ["hi"], [{"role": "user", "content": "hi"}]])
def test_a_query_that_is_no_text_is_refused_with_advice(query: Any) -> None:
    with pytest.raises(ConfigurationError, match="from_chat"):
        Request(query)


# --- from_chat ---------------------------------------------------------------------------------


def replaced(index: int, message: Any) -> list[Any]:
    messages = list(CALL["messages"])
    messages[index] = message
    return messages


CHANGES: list[dict[str, Any]] = [
    {"model": "gpt-5-mini"},
    {"model": None},
    {"tenant": "globex"},
    {"tenant": None},
    {"user": "u-2"},
    {"user": None},
    {"namespace": "docs"},
    {"tools": None},
    {"tools": [TOOL, TOOL]},
    {"tool_choice": "none"},
    {"response_format": {"type": "text"}},
    {"response_format": None},
    {"temperature": 0.6},
    {"temperature": None},
    {"top_p": 0.9},
    {"top_p": True},
    {"seed": 8},
    {"max_tokens": 101},
    {"stop": ["."]},
    {"unheard_of": False},
    {"unheard_of": 0},
    {"unheard_of": ""},
    {"unheard_of": {"deep": [1, 2]}},
    {"unheard_of": {"deep": [2, 1]}},
    {"extra_headers": {"x-route": "other-model"}},
    {"extra_body": {"top_k": 5}},
    {"reasoning_effort": "high"},
    {"messages": [*HISTORY, QUESTION]},
    {"messages": replaced(0, {"role": "system", "content": "Be brief"})},
    {"messages": replaced(0, {"role": "developer", "content": "Be brief."})},
    {"messages": replaced(1, user("Which is larger, 3 or 4?"))},
    {"messages": replaced(2, {"role": "assistant", "content": "3"})},
    {"messages": replaced(2, {"role": "tool", "content": "5"})},
    {"messages": [SYSTEM, *HISTORY[::-1], QUESTION]},
    {"messages": [SYSTEM, QUESTION]},
    {"messages": [*HISTORY, SYSTEM, QUESTION]},
    {"messages": replaced(3, user("And the first one?"))},
    {"messages": replaced(3, user("And the second one?", name="Ada"))},
    {"messages": replaced(3, user([text("And the second one?"), image(b"1")]))},
    {"messages": replaced(3, user([text("And the second one?"), image(b"2")]))},
    {"messages": replaced(3, user([image(b"1"), text("And the second one?")]))},
    {"messages": replaced(3, user([text("And the second one?"), image(b"1"), image(b"2")]))},
    {"messages": replaced(3, user([text("And the"), text("second one?")]))},
    {"messages": replaced(3, user([text("And"), text("the second one?")]))},
    {"messages": [*CALL["messages"], {"role": "assistant", "content": "{"}]},
    {"messages": [*CALL["messages"], call("{}")]},
    {"messages": [*CALL["messages"], call("{}"), {"role": "tool", "content": "1"}]},
    {"messages": [*CALL["messages"], call("{}"), {"role": "tool", "content": "2"}]},
]


def test_any_change_of_anything_gives_another_key() -> None:
    keys = [key(chat(**change)) for change in [{}, *CHANGES]]
    assert len(set(keys)) == len(keys)


@given(st.text(min_size=1).filter(str.isidentifier), st.integers() | st.text() | st.booleans())
def test_an_unknown_parameter_is_never_ignored(name: str, value: Any) -> None:
    if name not in {"messages", "cls", "harmless", "history"} and name not in CALL:
        assert key(chat(**{"p_" + name: value})) != key(chat())


@pytest.mark.parametrize(
    "change",
    [
        {"stream": True},
        {"stream_options": {"include_usage": True}},
        {"timeout": 5},
        {"unheard_of": None},
        {"temperature": 0.50},
        {"top_p": 1.0},
        {"messages": replaced(3, user([text("And the second one?")]))},
        {"messages": replaced(3, user("  And the\tsecond one? "))},
        {"messages": replaced(3, user("And the second one?", name=None))},
        {"messages": replaced(2, {"content": "5", "role": "assistant", "refusal": None})},
        {"messages": tuple(CALL["messages"])},
        {"tools": [json.loads(json.dumps(TOOL, indent=2, sort_keys=True))]},
    ],
)
def test_what_does_not_change_the_answer_gives_the_same_key(change: dict[str, Any]) -> None:
    assert key(chat(**change)) == key(chat())


def test_a_harmless_parameter_can_be_made_to_count_and_the_other_way_round() -> None:
    assert key(chat(timeout=5, harmless=frozenset())) != key(chat(harmless=frozenset()))
    assert key(chat(trace_id="a", harmless=frozenset({"trace_id"}))) == key(chat())


def test_a_lone_message_is_the_same_request_as_a_plain_prompt() -> None:
    plain = Request("Hi", Scope(model="m", params={"temperature": 0}))
    assert Request.from_chat([user("Hi")], model="m", temperature=0.0) == plain
    assert Request.from_chat([user([text("Hi")])], model="m", temperature=0) == plain
    with_system = Request("Hi", Scope(system="Be brief."))
    assert Request.from_chat([SYSTEM, user("Hi")]) == with_system
    assert not with_system.scope.has_history


def test_the_query_is_the_last_user_message() -> None:
    request = chat(messages=[user("first"), user("second"), call("{}"), {"role": "tool"}])
    assert request.query == "second"
    assert request.scope.has_history


def test_images_count_as_something_the_query_refers_to() -> None:
    assert Request.from_chat([user([text("What is this?"), image(b"1")])]).scope.has_history
    assert not Request.from_chat([user([text("What is"), text("this?")])]).scope.has_history


@pytest.mark.parametrize("history", ["exact", "ignore"])
def test_a_tool_result_is_never_ignored(history: Any) -> None:
    before = [QUESTION]
    after = [*before, call("{}"), {"role": "tool", "tool_call_id": "c1", "content": "42"}]
    other = [*before, call("{}"), {"role": "tool", "tool_call_id": "c1", "content": "43"}]
    keys = {key(chat(messages=messages, history=history)) for messages in (before, after, other)}
    assert len(keys) == 3


def test_history_ignore_leaves_out_earlier_turns_but_not_instructions() -> None:
    def ignoring(*messages: Any) -> str:
        return key(chat(messages=list(messages), history="ignore"))

    developer = {"role": "developer", "content": "In French."}
    assert ignoring(SYSTEM, *HISTORY, QUESTION) == ignoring(SYSTEM, QUESTION)
    assert ignoring(SYSTEM, *HISTORY, QUESTION) != ignoring(*HISTORY, QUESTION)
    assert ignoring(*HISTORY, developer, QUESTION) != ignoring(*HISTORY, QUESTION)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a": 1, "b": [2]}', '{"b":[2.0],"a":1}', True),
        ('{"a": 1}', '{"a": 2}', False),
        ('{"a": 1e400}', '{"a": 1e500}', False),
        ('{"a": 0.1}', '{"a": 0.10}', True),
        ('{"a": 1, "a": 2}', '{"a": 2}', False),
        ('{"a": 1', '{"a":1', False),
        ('{"a": 1}', {"a": 1}, False),
        ('"x"', "x", False),
        ("[" * 50_000, "[" * 50_001, False),
        ('{"a": 1e999999999}', '{"a": 1e999999998}', False),
        ('{"a": ' + "9" * 5000 + "}", '{"a": ' + "9" * 5001 + "}", False),
    ],
    ids=range(11),
)
def test_arguments_of_tool_calls_are_compared_as_json(one: Any, other: Any, same: bool) -> None:
    def with_call(arguments: Any) -> str:
        return key(chat(messages=[user("x"), call(arguments), {"role": "tool"}, user("y")]))

    assert (with_call(one) == with_call(other)) == same


def test_a_message_cannot_pass_for_the_place_of_the_query() -> None:
    mark = ["query", [], {}]
    honest = chat(messages=[user("x")])
    for forged in ({"role": "user", "query": True, "parts": []}, {"role": "user", "x": mark}):
        assert key(chat(messages=[forged, user("x")])) != key(honest)
    assert key(chat(messages=[user("x", query=True, parts=[])])) != key(honest)


class Message(pydantic.BaseModel):
    role: str
    content: str | list[Any] | None = None
    refusal: str | None = None


def test_messages_as_clients_return_them_are_taken() -> None:
    answer = Message(role="assistant", content="5", refusal=None)
    assert key(chat(messages=replaced(2, answer))) == key(chat())


def test_from_chat_changes_nothing_that_was_passed_in() -> None:
    before = copy.deepcopy(CALL)
    request = chat(messages=[*CALL["messages"], call('{"a": 1}')])
    assert before == CALL
    assert request.query == "And the second one?"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [SYSTEM],
        [{"role": "assistant", "content": "Hi"}],
        [user(None)],
        [{"role": "user"}],
        [user(5)],
        [user(b"Hi")],
        "Hi",
        ["Hi"],
        None,
        {"role": "user", "content": "Hi"},
        [user([object()])],
        [user("Hi"), {"role": "tool", "content": object()}],
    ],
    ids=range(13),
)
def test_messages_that_make_no_request_are_refused(messages: Any) -> None:
    with pytest.raises(ConfigurationError):
        Request.from_chat(messages)


def test_an_unknown_way_to_treat_history_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="history"):
        chat(history="some")
