"""Which characters of a response each sampled token wrote.

Token boundaries need not be character boundaries: byte-level BPE splits an emoji into
several tokens. Invariants: spans are in order, together they cover the whole text, and
a token that holds only some bytes of a character takes the span of that character.
"""

import codecs
import json
from collections.abc import Sequence
from typing import Any

Span = tuple[int, int]


class TokenSpans:
    """`spans(ids)` -> (text, one half-open character span a token). Made once for a tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._byte_of = _byte_decoder() if _is_byte_level(tokenizer) else None
        self._added = {index: str(token) for index, token in tokenizer.added_tokens_decoder.items()}

    def __call__(self, ids: Sequence[int], context: Sequence[int] = ()) -> tuple[str, list[Span]]:
        """`context`: the last tokens before `ids`; tokenizers that write a word's leading space need it."""
        if self._byte_of is None:
            return _spans_by_decoding(self._tokenizer, ids, context)
        return spans_of_bytes([self._bytes(index) for index in ids])

    def _bytes(self, index: int) -> bytes:
        if index in self._added:
            return self._added[index].encode()
        token = self._tokenizer.convert_ids_to_tokens(index)
        if token is None:  # a padding row of the embedding that no token uses
            return b""
        assert self._byte_of is not None
        return bytes(self._byte_of[character] for character in token)


def spans_of_bytes(tokens: Sequence[bytes]) -> tuple[str, list[Span]]:
    """The text of the joined bytes (invalid UTF-8 as U+FFFD) and each token's characters in it."""
    joined = b"".join(tokens)
    character_of = range(len(joined)) if joined.isascii() else _character_of_byte(joined)
    text = joined.decode("utf-8", "replace")
    spans: list[Span] = []
    at = 0
    for token in tokens:
        start = character_of[at] if at < len(joined) else len(text)
        spans.append((start, character_of[at + len(token) - 1] + 1 if token else start))
        at += len(token)
    return text, spans


def _character_of_byte(data: bytes) -> list[int]:
    """For each byte the index of the character it is part of."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    index: list[int] = []
    pending = 0  # bytes that the decoder holds back
    characters = 0
    for at in range(len(data)):
        out = decoder.decode(data[at : at + 1], final=at == len(data) - 1)
        held = len(decoder.getstate()[0])
        complete = pending + 1 - held
        # several characters come out together only when a broken sequence ends: the last is the newest byte
        index += [characters + min(done, len(out) - 1) for done in range(complete - 1)]
        if complete:
            index.append(characters + len(out) - 1)
        characters += len(out)
        pending = held
    return index


def _spans_by_decoding(tokenizer: Any, ids: Sequence[int], context: Sequence[int]) -> tuple[str, list[Span]]:
    """Works for every tokenizer: decodes a short window again and again and sees what each token added."""
    tokens = [*context, *ids]
    window, read = 0, len(context)
    text = ""
    spans: list[Span] = []
    waiting = 0  # tokens that have not yet completed a character
    for position in range(len(context), len(tokens)):
        before = tokenizer.decode(tokens[window:read], skip_special_tokens=False)
        after = tokenizer.decode(tokens[window : position + 1], skip_special_tokens=False)
        waiting += 1
        last = position == len(tokens) - 1
        if (after.endswith("\ufffd") or len(after) <= len(before)) and not last:
            continue
        new = after[len(before) :]
        spans += [(len(text), len(text) + len(new))] * waiting
        text += new
        waiting = 0
        window, read = read, position + 1
    return text, spans


def _is_byte_level(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return False
    decoder = json.loads(backend.to_str()).get("decoder") or {}
    parts = decoder.get("decoders", [decoder])
    return [part.get("type") for part in parts] == ["ByteLevel"]


def _byte_decoder() -> dict[str, int]:
    """GPT-2's table: printable bytes stand for themselves, the others for the characters from U+0100 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    shifted = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + rank): byte for rank, byte in enumerate(shifted)}
