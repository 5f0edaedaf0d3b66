"""What holds of a cleaned name, whatever a client sends."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from whisper_service.files import filenames


@given(st.text(max_size=600))
def test_a_clean_name_is_one_line_without_folders_and_stays_as_it_is(name: str) -> None:
    clean = filenames.clean(name)
    assert len(clean) <= filenames.MAX_LENGTH
    assert not set(clean) & set("/\\")
    assert clean == clean.strip()
    assert clean.isprintable() or any(unicodedata.category(each) in "Zs Cn Co" for each in clean)
    clean.encode()
    assert filenames.clean(clean) == clean
