from whisper_service.whisper import languages
from whisper_service.whisper.binding import binding


def test_they_are_those_of_the_engine() -> None:
    numbers = range(binding.whisper_lang_max_id() + 1)
    assert {binding.whisper_lang_str(number) for number in numbers} == languages.CODES
    assert len(set(languages.NAMES.values())) == len(languages.CODES)


def test_a_language_is_given_by_code_or_name() -> None:
    for given in ("de", "DE", "german", " German "):
        assert languages.code_of(given) == "de"
    assert languages.code_of("Haitian Creole") == "ht"
    assert languages.code_of("Klingon") == "klingon"
