"""The tables of characters say what the library does: applied by hand, they give its own results."""

import json
import random
import unicodedata
from typing import Any

import pytest
from tokenizers import Regex, normalizers

from export.tables import unicode_tables

HANGUL, LEADING, VOWEL, TRAILING = 0xAC00, 0x1100, 0x1161, 0x11A7
MARK = 0x0301


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(unicode_tables.table())
    return found


@pytest.fixture(scope="module")
def texts() -> list[str]:
    draw = random.Random(0)
    everything = list(unicode_tables.scalars())
    marks = [text for text in everything if unicodedata.combining(text)]
    pools = [everything, everything[:0x3000], marks, list(map(chr, range(LEADING, 0x1200))), ["e", "\u0301"]]
    return ["".join(draw.choice(draw.choice(pools)) for _ in range(20)) for _ in range(3000)]


def test_the_head_says_whose_tables_these_are(tables: dict[str, Any]) -> None:
    assert tables["format"] == "aptp-characters"
    assert tables["source"].startswith("tokenizers ")
    assert len(json.dumps(tables)) < 200_000


def test_runs_are_the_classes_of_the_patterns(tables: dict[str, Any], texts: list[str]) -> None:
    for name, pattern in unicode_tables.CLASSES.items():
        ends = tables[name]
        assert ends == sorted(ends)
        members = {
            chr(n) for first, last in zip(ends[::2], ends[1::2], strict=True) for n in range(first, last + 1)
        }
        keep = normalizers.Replace(Regex(pattern), "")
        for text in texts[:300]:
            assert keep.normalize_str(text) == "".join(one for one in text if one not in members)


def test_lower_case(tables: dict[str, Any], texts: list[str]) -> None:
    lower = {chr(row[0]): "".join(map(chr, row[1:])) for row in tables["lower"]}
    assert lower["A"] == "a"
    assert lower["\u0130"] == "i\u0307"
    reference = normalizers.Lowercase()
    assert all("".join(lower.get(c, c) for c in text) == reference.normalize_str(text) for text in texts)


def decompose(tables: dict[str, Any], text: str) -> list[int]:
    rows = {row[0]: row[1:] for row in tables["decomposed"]}
    found: list[int] = []
    for one in map(ord, text):
        if HANGUL <= one < HANGUL + 11172:
            lead, rest = divmod(one - HANGUL, 588)
            vowel, trail = divmod(rest, 28)
            found += [LEADING + lead, VOWEL + vowel, *([TRAILING + trail] if trail else [])]
        else:
            found += rows.get(one, [one])
    return found


def compose(tables: dict[str, Any], text: str) -> str:
    """Normalization form C by the tables, as slow and plain as can be."""
    classes = {n: c for first, last, c in tables["marks"] for n in range(first, last + 1)}
    pairs = {(first, second): whole for first, second, whole in tables["composed"]}
    found = decompose(tables, text)
    for _ in found:  # marks change places until they are in order
        for place in range(1, len(found)):
            if classes.get(found[place - 1], 0) > classes.get(found[place], 0) > 0:
                found[place - 1], found[place] = found[place], found[place - 1]
    result: list[int] = []
    starter = None
    for one in found:
        between = result[starter + 1 :] if starter is not None else []
        open_to = starter is not None and all(classes[n] < classes.get(one, 0) for n in between)
        whole = composite(pairs, result[starter], one) if open_to and starter is not None else None
        if whole is not None and starter is not None:
            result[starter] = whole
            continue
        if one not in classes:
            starter = len(result)
        result.append(one)
    return "".join(map(chr, result))


def composite(pairs: dict[tuple[int, int], int], first: int, second: int) -> int | None:
    if LEADING <= first < LEADING + 19 and VOWEL <= second < VOWEL + 21:
        return HANGUL + 588 * (first - LEADING) + 28 * (second - VOWEL)
    if HANGUL <= first < HANGUL + 11172 and (first - HANGUL) % 28 == 0 and 0 < second - TRAILING < 28:
        return first + second - TRAILING
    return pairs.get((first, second))


def test_composition(tables: dict[str, Any], texts: list[str]) -> None:
    reference = normalizers.NFC()
    assert [text for text in texts if compose(tables, text) != reference.normalize_str(text)] == []


def test_tables_that_were_wrong_would_show(tables: dict[str, Any], texts: list[str]) -> None:
    wrong = {**tables, "marks": [row for row in tables["marks"] if not row[0] <= MARK <= row[1]]}
    reference = normalizers.NFC()
    assert any(compose(wrong, text) != reference.normalize_str(text) for text in texts)
