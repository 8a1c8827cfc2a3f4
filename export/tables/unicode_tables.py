"""Tables of the Unicode properties that the tokenizer's library uses, for readers without that library.

Versions of Unicode differ from library to library, and even within one: `tokenizers` has one for classes of
characters, one for lower case and one for composition. A prompt's ids must not depend on any of that, so
the tables are made of the library's own answers, and travel in the bundle (docs/BUNDLE.md, "Characters").
"""

import importlib.metadata
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby

from tokenizers import Regex, normalizers

FORMAT = "aptp-characters"
CLASSES = {"letters": r"\p{L}", "numbers": r"\p{N}", "spaces": r"\s"}
# A line break is a class of its own in every table: it neither composes nor changes its place or its case.
_BREAK = "\n"
_CHUNK = 256
_HANGUL = range(0xAC00, 0xD7A4)  # decomposed by arithmetic, which every reader does

# Marks of the least and of the greatest combining class.
_LEAST, _MOST = "\u0334", "\u0345"

Function = Callable[[str], str]


def table() -> bytes:
    """Return the file `characters.json`."""
    decomposed = _changed(normalizers.NFD().normalize_str, skip=_HANGUL)
    value = {
        "format": FORMAT,
        "source": f"tokenizers {importlib.metadata.version('tokenizers')}",
        **{name: _runs(_members(pattern)) for name, pattern in CLASSES.items()},
        "lower": _rows(_changed(normalizers.Lowercase().normalize_str)),
        "decomposed": _rows(decomposed),
        "composed": [list(row) for row in _compositions(decomposed)],
        "marks": _marks(frozenset(decomposed)),
    }
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def scalars() -> Iterator[str]:
    """Yield every character but halves of surrogate pairs."""
    return map(chr, chain(range(0xD800), range(0xE000, 0x110000)))


def _members(pattern: str) -> list[int]:
    """Return the characters of a class: what a replacement by nothing takes away."""
    everything = "".join(scalars())
    left = set(normalizers.Replace(Regex(pattern), "").normalize_str(everything))
    return [ord(character) for character in everything if character not in left]


def _runs(numbers: Iterable[int]) -> list[int]:
    """Return first and last of each run of consecutive numbers, one after another."""
    runs = groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    ends = ([number for _, number in run] for _, run in runs)
    return [end for run in ends for end in (run[0], run[-1])]


def _all(function: Function, texts: Sequence[str]) -> list[str]:
    """Return what `function` makes of each of `texts`, at one call."""
    found = function(_BREAK.join(texts)).split(_BREAK)
    assert len(found) == len(texts), "the function must leave line breaks alone"
    return found


def _stirred(function: Function, texts: Sequence[str]) -> list[str]:
    """Return those of `texts` that lie near one which `function` changes: few, and found at few calls."""
    chunks = (texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK))
    pairs = ((chunk, _BREAK.join(chunk)) for chunk in chunks)
    return [text for chunk, joined in pairs if function(joined) != joined for text in chunk]


def _changed(function: Function, skip: Sequence[int] = ()) -> dict[str, str]:
    texts = [text for text in scalars() if text != _BREAK and ord(text) not in skip]
    texts = _stirred(function, texts)
    return {text: to for text, to in zip(texts, _all(function, texts), strict=True) if to != text}


def _rows(changed: dict[str, str]) -> list[list[int]]:
    return [[ord(text), *map(ord, to)] for text, to in changed.items()]


def _compositions(decomposed: dict[str, str]) -> Iterator[tuple[int, int, int]]:
    """Return (first, second, composition) for every canonical composition.

    A character that no composition gives back has none.
    """
    compose = normalizers.NFC().normalize_str
    texts = [text for text, to in decomposed.items() if len(to) > 1]
    firsts = _all(compose, [decomposed[text][:-1] for text in texts])
    lasts = [decomposed[text][-1] for text in texts]
    found = _all(compose, [first + last for first, last in zip(firsts, lasts, strict=True)])
    for text, first, last, whole in zip(texts, firsts, lasts, found, strict=True):
        if whole == text and len(first) == 1:
            yield ord(first), ord(last), ord(text)


def _marks(decomposed: frozenset[str]) -> list[list[int]]:
    """Return [first, last, combining class] for what is not of class 0.

    A class shows in who changes places with whom: of two marks in a row, the one of the higher class goes
    last. Unicode promises never to change a class, so those that Python knows may be compared with.
    """
    order = normalizers.NFD().normalize_str
    skip = {_BREAK, *decomposed, *map(chr, _HANGUL)}
    pairs = [f"{_MOST}{text}{_BREAK}{text}{_LEAST}" for text in scalars() if text not in skip]
    texts = [pair[1] for pair in _stirred(order, pairs)]

    def stay(texts: Sequence[str], other: str) -> list[bool]:
        """Return whether each of `texts` keeps its place, before `other` and behind it."""
        after, before = [text + other for text in texts], [other + text for text in texts]
        pairs = zip(after, _all(order, after), before, _all(order, before), strict=True)
        return [one == ordered and two == turned for one, ordered, two, turned in pairs]

    kept = zip(stay(texts, _LEAST), stay(texts, _MOST), strict=True)
    marks = [text for text, both in zip(texts, kept, strict=True) if not all(both)]
    classes: dict[str, int] = {}
    # The library's Unicode may be older than Python's: only what moves in it is compared with.
    known = {unicodedata.combining(text): text for text in reversed(marks) if unicodedata.combining(text)}
    for number, other in known.items():
        same = zip(marks, stay(marks, other), strict=True)
        classes.update({text: number for text, stays in same if stays})
    assert len(classes) == len(marks), "a mark of a class that nothing is known of"
    rows = []
    for number, run in groupby(sorted(classes), key=lambda text: classes[text]):
        members = list(run)
        runs = _runs(map(ord, members))
        rows += [[first, last, number] for first, last in zip(runs[::2], runs[1::2], strict=True)]
    return rows
