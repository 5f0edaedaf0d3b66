"""The words of a text, as they are indexed and searched for."""

from hypothesis import given
from hypothesis import strategies as st

from whisper_service.transcripts.search_words import find_words, indexed


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_has_the_same_words_by_its_short_cut(text: str) -> None:
    assert indexed(7, text).split() == [f"u7x{word.folded}" for word in find_words(text)]


@given(st.text())
def test_words_are_parts_of_the_text_in_order(text: str) -> None:
    places = [place for word in find_words(text) for place in (word.start, word.end)]
    assert places == sorted(places)
    assert all(not word.folded.isspace() for word in find_words(text))


@given(st.text())
def test_case_and_composition_make_no_difference(text: str) -> None:
    assert indexed(1, "É" + text) == indexed(1, "e\u0301" + text)
