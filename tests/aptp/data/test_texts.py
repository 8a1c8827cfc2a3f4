"""Packed strings come out as they went in, also in another process."""

import hashlib

import pytest
import torch.multiprocessing

from aptp.data.texts import Packer, Texts

WORDS = ["a", "", "käse 🧀", "", "z" * 300]


def packed(words: list[str]) -> Texts:
    packer = Packer()
    for word in words:
        packer.add(word)
    return packer.pack()


def digest(texts: Texts) -> str:
    found = hashlib.sha256()
    texts.update(found)
    return found.hexdigest()


@pytest.mark.parametrize("words", [WORDS, ["", ""], []])
def test_they_come_out_as_they_went_in(words):
    texts = packed(words)
    assert len(texts) == len(words)
    assert [texts[i] for i in range(len(texts))] == words


def test_names_that_are_no_text_come_back():
    assert packed(["a\udc80b"])[0] == "a\udc80b"


def test_a_digest_tells_where_strings_end():
    assert digest(packed(["ab", "c"])) != digest(packed(["a", "bc"]))
    assert digest(packed(["ab", "c"])) == digest(packed(["ab", "c"]))


def answer(texts: Texts, queue: torch.multiprocessing.Queue) -> None:
    queue.put([texts[i] for i in range(len(texts))])


def test_another_process_shares_them():
    context = torch.multiprocessing.get_context("forkserver")
    queue, texts = context.Queue(), packed(WORDS)
    process = context.Process(target=answer, args=(texts, queue))
    process.start()
    assert queue.get(timeout=60) == WORDS
    process.join()
    assert texts.data.is_shared()
