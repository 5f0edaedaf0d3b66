"""From a Hugging Face `tokenizer.json` to the tokens' raw bytes."""

import json

# Ids from here on are Whisper's own special tokens, which whisper.cpp adds by itself.
TOKEN_COUNT = 50257


def tokens(tokenizer: bytes) -> list[bytes]:
    """Raw bytes of the first 50,257 tokens, by id: as many as the official ggml files hold.

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
    """Map GPT-2's stand-in letters back to bytes.

    Printable Latin-1 bytes stand for themselves; the others took the letters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(0x100 + place): byte for place, byte in enumerate(others)}
