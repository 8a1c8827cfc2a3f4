import pytest

from runtime.bundle.reader import Bundle
from runtime.errors import ManifestError, UsageError
from runtime.text.tokenizer import CHARACTERS, Tokenizer
from tests.bundles import LENGTH, WORDS


@pytest.fixture(scope="module")
def tokenizer(bundle: Bundle) -> Tokenizer:
    return Tokenizer.load(bundle, bundle.manifest.encoders["text"].tokenizer)


def test_the_frame(tokenizer: Tokenizer) -> None:
    tokens = tokenizer("a red circle")
    assert tokens.ids.tolist() == [[0, *(WORDS.index(word) for word in ("a", "red", "circle")), 1, 1, 1, 1]]
    assert tokens.mask.tolist() == [[1, 1, 1, 1, 1, 0, 0, 0]]
    assert tokens.ids.dtype == tokens.mask.dtype == "int64"
    assert tokens.dropped == 0


def test_the_empty_prompt(tokenizer: Tokenizer) -> None:
    tokens = tokenizer("")
    assert tokens.ids.tolist() == [[0] + [1] * (LENGTH - 1)]
    assert tokens.mask.sum() == 2


@pytest.mark.parametrize(("words", "dropped"), [(LENGTH - 2, 0), (LENGTH - 1, 1), (LENGTH + 40, 42)])
def test_long_prompts_are_cut_and_say_so(tokenizer: Tokenizer, words: int, dropped: int) -> None:
    tokens = tokenizer("red " * words)
    assert tokens.dropped == dropped
    assert tokens.ids[0, -1] == 1
    assert tokens.mask.all()


@pytest.mark.parametrize("prompt", ["🙂", "أحمر", "\u202ered", "!!!", "red\n\tblue", "é" * 500])
def test_any_text_is_a_prompt(tokenizer: Tokenizer, prompt: str) -> None:
    assert tokenizer(prompt).ids.shape == (1, LENGTH)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a\0b", "holds a NUL character; remove it"),
        ("\ud800", "half of a surrogate pair"),
        ("x" * (CHARACTERS + 1), "10001 characters; shorten it to 10000"),
        (None, "must be a string, not NoneType"),
        (b"red", "must be a string, not bytes"),
    ],
)
def test_what_is_no_text(tokenizer: Tokenizer, prompt: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tokenizer(prompt)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[" * 1000])
def test_a_file_that_is_no_tokenizer(bundle: Bundle, data: bytes) -> None:
    with pytest.raises(ManifestError, match="tokenizer.json: is not a tokenizers file"):
        Tokenizer(bundle.manifest.encoders["text"].tokenizer, data)
