"""Reading the tokens' raw bytes from a Hugging Face `tokenizer.json`."""

import json

# Higher ids are Whisper's special tokens, which whisper.cpp adds by itself.
TOKEN_COUNT = 50257


def tokens(tokenizer: bytes) -> list[bytes]:
    """Return the raw bytes of the first 50,257 tokens, by id, as in the official ggml files.

    Raises ValueError for a tokenizer that lacks one of them.
    """
    data = json.loads(tokenizer)
    by_id = {number: text for text, number in data["model"]["vocab"].items()}
    by_id |= {added["id"]: added["content"] for added in data["added_tokens"]}
    if missing := set(range(TOKEN_COUNT)) - by_id.keys():
        raise ValueError(f"the tokenizer lacks token {min(missing)}")
    alphabet = _byte_alphabet()
    return [bytes(alphabet[letter] for letter in by_id[number]) for number in range(TOKEN_COUNT)]


def _byte_alphabet() -> dict[str, int]:
    """Return the bytes that GPT-2's letters stand for.

    Printable Latin-1 bytes stand for themselves; the others use the letters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(0x100 + place): byte for place, byte in enumerate(others)}
