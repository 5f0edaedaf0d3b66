"""Decoding options of a transcription, besides its language."""

import json
from dataclasses import asdict, dataclass

MAX_PROMPT = 4000
MAX_TEMPERATURE = 1


@dataclass(frozen=True)
class Options:
    """`prompt` is text that could precede the recording: names and spellings to expect.

    `temperature`, from 0 to 1, is where decoding begins. `translate` is into English. `logprobs`
    are those of all tokens. `languages` are the codes that "auto" chooses from, with spaces between
    them; '' for all.
    """

    translate: bool = False
    prompt: str = ""
    word_timestamps: bool = False
    temperature: float = 0.0
    logprobs: bool = False
    languages: str = ""

    @property
    def task(self) -> str:
        return "translate" if self.translate else "transcribe"

    def to_text(self) -> str:
        """Return the options as text: the same for equal options, '' for the defaults."""
        asked = {name: value for name, value in asdict(self).items() if value}
        return json.dumps(asked, sort_keys=True) if asked else ""

    @classmethod
    def from_text(cls, text: str) -> "Options":
        return cls(**json.loads(text)) if text else cls()
