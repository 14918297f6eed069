"""Texts that are nearly the same: shingles, MinHash to find candidates, exact Jaccard similarity to decide.

For one-word edits of a text and for whole copies; a paraphrase has other words and is not found. Hashes are the same in
every process, so that the same texts give the same answers. Memory: about 4 bytes a word and 2 KiB a text.
Source: Broder 1997 (resemblance, min-wise hashes); banding as in Leskovec et al., Mining of Massive Datasets, 3.4.
"""

import re
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt32

_WORD = re.compile(r"\w+|[^\w\s]")
SHINGLE_WORDS = 5
CONTAMINATION_WORDS = 8

# 32 bands of 4 hashes: a pair of similarity 0.7 is missed once in 6,000 times, one of 0.9 never.
_BANDS, _ROWS = 32, 4
_PRIME = np.uint64((1 << 31) - 1)
_RANDOM = np.random.default_rng(20240202)
_FACTORS = _RANDOM.integers(1, int(_PRIME), _BANDS * _ROWS, dtype=np.uint64)[:, None]
_OFFSETS = _RANDOM.integers(0, int(_PRIME), _BANDS * _ROWS, dtype=np.uint64)[:, None]

Shingles = UInt32[np.ndarray, " shingles"]


def shingles(text: str, words: int = SHINGLE_WORDS) -> Shingles:
    """Checksums of every run of `words` words or marks, case folded, sorted, each once; of a shorter text, of all."""
    found = [word.encode("utf-8", "surrogatepass") for word in _WORD.findall(text.casefold())]
    runs = [b" ".join(found[start : start + words]) for start in range(max(1, len(found) - words + 1))]
    return np.unique(np.fromiter((zlib.crc32(run) for run in runs), np.uint32, len(runs)))


def similarity(left: Shingles, right: Shingles) -> float:
    """Jaccard: what both have as a share of what either has."""
    shared = np.intersect1d(left, right, assume_unique=True).size
    return shared / (left.size + right.size - shared)


class Contamination(NamedTuple):
    """The evaluation text that another one is too like, and the share of its runs of words that the other has."""

    name: str
    share: float


class SimilarTexts:
    """Texts in order of arrival; `similar` finds the earlier ones that are at least `threshold` alike."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._texts: list[Shingles] = []
        self._buckets: dict[tuple[int, bytes], list[int]] = {}

    def add(self, text: Shingles) -> int:
        """The number of the text, from 0."""
        number = len(self._texts)
        self._texts.append(text)
        for key in _keys(text):
            self._buckets.setdefault(key, []).append(number)
        return number

    def similar(self, text: Shingles) -> list[tuple[int, float]]:
        """(number, similarity) of each earlier text that is similar enough, most similar first, then the earliest."""
        candidates = {number for key in _keys(text) for number in self._buckets.get(key, ())}
        found = [(number, similarity(self._texts[number], text)) for number in sorted(candidates)]
        return sorted((pair for pair in found if pair[1] >= self.threshold), key=lambda pair: -pair[1])


def _keys(text: Shingles) -> Iterable[tuple[int, bytes]]:
    hashes = ((_FACTORS * (text.astype(np.uint64) % _PRIME) + _OFFSETS) % _PRIME).min(axis=1).astype(np.uint32)
    return ((band, hashes[band * _ROWS : (band + 1) * _ROWS].tobytes()) for band in range(_BANDS))


class EvaluationTexts:
    """Statements that must not be trained on. A text is contaminated by the one whose runs of words it has most of."""

    def __init__(self, threshold: float, words: int = CONTAMINATION_WORDS) -> None:
        self.threshold = threshold
        self._words = words
        self._sizes: dict[str, int] = {}
        self._names: dict[int, list[str]] = {}

    def add(self, name: str, text: str) -> None:
        found = shingles(text, self._words)
        self._sizes[name] = found.size
        for shingle in found.tolist():
            self._names.setdefault(shingle, []).append(name)

    def contaminates(self, text: str) -> Contamination | None:
        """The text that `text` has most of, where that share reaches the threshold."""
        shared: dict[str, int] = {}
        for shingle in shingles(text, self._words).tolist():
            for name in self._names.get(shingle, ()):
                shared[name] = shared.get(name, 0) + 1
        best = max(((count / self._sizes[name], name) for name, count in shared.items()), default=(0.0, ""))
        return Contamination(best[1], best[0]) if best[0] >= self.threshold else None
