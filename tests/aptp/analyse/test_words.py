"""Words that are one code's own, and those that only seem to be."""

import pytest

from aptp.analyse.words import enriched

RED, BLUE = "a red circle", "a blue circle"


def texts(prompts: list[str], own: list[bool]) -> list[str]:
    return [word.text for word in enriched(prompts, own)]


def test_a_code_s_own_word_is_found_with_its_counts() -> None:
    prompts, own = [RED] * 60 + [BLUE] * 60, [True] * 60 + [False] * 60
    (word,) = enriched(prompts, own)
    assert (word.text, word.here, word.elsewhere) == ("red", 60, 0)
    assert word.times > 1
    assert texts(prompts, [not mine for mine in own]) == ["blue"]


def test_a_word_seen_twice_is_chance() -> None:
    assert texts([RED] * 60 + ["a rare circle"] * 2 + [RED] * 60, [True] * 62 + [False] * 60) == []


def test_a_word_counts_once_per_prompt() -> None:
    (word,) = enriched(["red Red, RED"] * 50 + ["blue"] * 50, [True] * 50 + [False] * 50)
    assert word.here == 50


def test_the_surest_come_first() -> None:
    prompts = [RED] * 80 + ["a red star"] * 20 + [BLUE] * 70 + [RED] * 30
    found = enriched(prompts, [True] * 100 + [False] * 100)
    assert [word.text for word in found] == ["red", "star"]
    assert found[0].z > found[1].z


@pytest.mark.parametrize("own", [[True, True], [False, False]])
def test_nothing_to_compare_with(own: list[bool]) -> None:
    assert enriched([RED, BLUE], own) == []
