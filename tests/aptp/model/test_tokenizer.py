"""The tokenizer of pipelines that come without one."""

import pytest

from aptp.model.tokenizer import WORDS, learn_merges, make_tokenizer

TOKENIZER = make_tokenizer()


def test_listed_words_are_single_tokens() -> None:
    for word in WORDS:
        assert len(TOKENIZER.tokenize(word)) == 1, word


@pytest.mark.parametrize("text", ["", "zebra", "été 東京 🎨", "שלום", "a" * 300, "\u0000"])
def test_nothing_is_unknown(text: str) -> None:
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    assert TOKENIZER.eos_token_id not in ids
    assert all(0 <= i < 1024 for i in ids)


def test_begin_and_end_are_the_last_tokens() -> None:
    assert (TOKENIZER.bos_token_id, TOKENIZER.eos_token_id) == (len(TOKENIZER) - 2, len(TOKENIZER) - 1)
    assert len(TOKENIZER) <= 1024


def test_merges_are_learned_commonest_first() -> None:
    assert learn_merges(["ab", "ab", "cab"])[0] == ("a", "b</w>")
