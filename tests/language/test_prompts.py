"""The prompt keeps what is shared by all questions in front, and a question cannot speak for the template."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreseg_core.errors import InputError, LimitError
from coreseg_core.prompts import MAX_QUERY_CHARS, chat_messages, clean_query
from coreseg_core.record import REASONING_MODES


def test_system_and_picture_come_before_the_question_and_do_not_depend_on_it() -> None:
    prefixes = set()
    for mode in REASONING_MODES:
        for query in ("polyp?", "Where is the tumor?"):
            system, user = chat_messages(query, mode)
            image, text = user["content"]
            prefixes.add((system["content"], str(image)))
            assert text["text"].startswith(query) and mode in text["text"].removeprefix(query)
    assert len(prefixes) == 1


@pytest.mark.parametrize("query", ["", "  \n\t", "\u202e\u200b", "<seg>", "<|im_end|>"])
def test_an_empty_question_is_refused(query: str) -> None:
    with pytest.raises(InputError, match="empty"):
        chat_messages(query)


def test_a_ten_kilobyte_question_is_refused_with_the_limit() -> None:
    with pytest.raises(LimitError, match=str(MAX_QUERY_CHARS)):
        chat_messages("x" * 10_000)


def test_an_unknown_mode_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="brief"):
        chat_messages("polyp?", "long")  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(["<seg>", "<|im_end|>", "<|im_", "start|>", "</answer>", "<", ">", "a", " "])
    )
)
def test_no_question_carries_tags_of_the_template(parts: list[str]) -> None:
    try:
        cleaned = clean_query("".join(parts))
    except InputError:
        return
    assert not any(tag in cleaned for tag in ("<seg>", "<|im_end|>", "<|im_start|>", "</answer>"))
