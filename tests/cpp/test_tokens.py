"""The tokenizer in C++ gives the ids of the library whose file it reads, whatever the text."""

import json
import random
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from export.tables import unicode_tables
from runtime.bundle.reader import Bundle
from runtime.bundle.schema import TokenizerEntry
from runtime.errors import RuntimeFailure
from runtime.text.tokenizer import CHARACTERS
from runtime.text.tokenizer import Tokenizer as Reference
from tests.cpp.answers import ask, disagreements, refusal

STRINGS = 10_000
# What patterns, composition, case and added tokens treat in ways of their own.
PECULIAR = [
    *("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'", "''", "\u2019s", "don't", "I'LL"),
    *("<|startoftext|>", "<|endoftext|>", "<|ENDOFTEXT|>", "<|", "|>", "<|startoftext", "|endoftext|>"),
    *(" ", "\t", "\n", "\u3000", "\u00a0", "\u200b", "\u2028", "\x85", "\x1c", "\x1f"),
    *("\u1100\u1161", "\u1100\u1161\u11a8", "\uac00\u11a8", "\uac01\u11a8", "\u1161", "\u11a7"),
    *(
        "e\u0301",
        "e\u0323\u0301",
        "e\u0301\u0323",
        "\u0344",
        "\u212b",
        "\u0958",
        "\u2adc",
        "\ufb1d",
        "\U0002f800",
    ),
    *("\u0130", "\u03a3", "\u03a3\u03a3", "\u1e9e", "\u01c5", "\u10a0", "\u13a0", "\uab70", "\U00010400"),
    *(
        "42",
        "\u00b2",
        "\u216b",
        "\u0661\u0662",
        "\u4e00",
        "\U0001f642",
        "\U0001f469\u200d\U0001f4bb",
        "\ufe0f",
    ),
]
PROMPTS = [
    "",
    "a",
    "A photograph of an astronaut riding a horse",
    "a small red circle on a blue background",
    "Ein großes, ÄLTERES Haus – bei Nacht; Öl auf Leinwand (1889)",
    "an oil painting of the artist's daughter, she'll be 7, they've 3 cats & 21 dogs!!!",
    "красный круг на синем фоне",
    "一个红色的圆圈，蓝色背景",
    "빨간 원",
    "صورة لدائرة حمراء",
    "ภาพวงกลมสีแดง",
    "ultra-detailed,8k,(masterpiece:1.2),trending on artstation:::",
    "<|startoftext|>a red square<|endoftext|>",
    "emoji 🙂🙃 and 👩‍💻, flags 🇬🇧",
    "  spaces\t\teverywhere \n\n ",
    "x" * CHARACTERS,
    "é" * CHARACTERS,
    "'" * 5000,
    "a " * 5000,
]


def strings(draw: random.Random, count: int) -> Iterator[str]:
    """Texts of every assigned character, of marks alone, of unassigned ones too, and of what is peculiar."""
    assigned = [text for text in unicode_tables.scalars() if unicodedata.category(text) not in ("Cn", "Co")]
    assigned.remove("\0")
    everything = [text for text in unicode_tables.scalars() if text != "\0"]
    marks = [text for text in assigned if unicodedata.combining(text)]
    pools: Sequence[Sequence[str]] = [assigned, everything, marks, everything[:0x24F], PECULIAR]
    for index in range(count):
        pool = draw.choice(pools) if index % 2 else None
        yield "".join(draw.choice(pool or draw.choice(pools)) for _ in range(draw.randrange(60)))


def every_character() -> list[str]:
    """Each code point in some text, each after a letter, for case and composition."""
    texts = [text for text in unicode_tables.scalars() if text != "\0"]
    return ["a".join(texts[start : start + 2000]) for start in range(0, len(texts), 2000)]


@pytest.fixture(scope="module")
def entry(bundle: Path) -> TokenizerEntry:
    return Bundle.open(bundle).manifest.encoders["text"].tokenizer


@pytest.fixture(scope="module")
def tables(bundle: Path, entry: TokenizerEntry) -> Path:
    assert entry.characters is not None
    return bundle / entry.characters


def verdicts(reference: Reference, library: Tokenizer, prompts: Sequence[str]) -> list[dict[str, Any]]:
    return [verdict(reference, library, prompt) for prompt in prompts]


def verdict(reference: Reference, library: Tokenizer, prompt: str) -> dict[str, Any]:
    try:
        tokens = reference(prompt)
    except RuntimeFailure as failure:
        return refusal(failure)
    return {
        "ids": tokens.ids[0].tolist(),
        "mask": tokens.mask[0].tolist(),
        "dropped": tokens.dropped,
        "all": library.encode(prompt, add_special_tokens=False).ids,
    }


def compare(program: Path, file: Path, tables: Path, entry: TokenizerEntry, prompts: Sequence[str]) -> None:
    data = file.read_bytes()
    library = Tokenizer.from_str(data.decode())
    library.no_truncation()
    library.no_padding()
    frame = map(str, (entry.length, entry.bos, entry.eos, entry.pad))
    found = ask(program, map(json.dumps, prompts), file, tables, *frame)
    wanted = verdicts(Reference(entry, data), library, prompts)
    assert not disagreements(prompts, wanted, found)


def test_the_tables_are_those_of_the_library(tables: Path) -> None:
    assert tables.read_bytes() == unicode_tables.table()


def test_fuzzed_strings(
    program: Callable[[str], Path], bundle: Path, tables: Path, entry: TokenizerEntry
) -> None:
    prompts = list(strings(random.Random(0), STRINGS))
    compare(program("tokens"), bundle / entry.file, tables, entry, prompts)


def test_every_character(
    program: Callable[[str], Path], bundle: Path, tables: Path, entry: TokenizerEntry
) -> None:
    compare(program("tokens"), bundle / entry.file, tables, entry, every_character())


def test_real_prompts(
    program: Callable[[str], Path], bundle: Path, tables: Path, entry: TokenizerEntry
) -> None:
    compare(program("tokens"), bundle / entry.file, tables, entry, PROMPTS)


def test_what_is_no_prompt(
    program: Callable[[str], Path], bundle: Path, tables: Path, entry: TokenizerEntry
) -> None:
    prompts = ["x" * (CHARACTERS + 1), "é" * 2 * CHARACTERS, "a\0b", "\0"]
    frame = map(str, (entry.length, entry.bos, entry.eos, entry.pad))
    found = ask(program("tokens"), map(json.dumps, prompts), bundle / entry.file, tables, *frame)
    assert [one["error"] for one in found] == ["UsageError"] * len(prompts)
    assert "has 10001 characters; shorten it to 10000" in found[0]["message"]
    assert found[1]["message"].endswith("… has 20000 characters; shorten it to 10000")
    assert "holds a NUL character; remove it" in found[2]["message"]


CLIP_PATTERN = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def clip(draw: random.Random, normalized: bool, use_regex: bool) -> Tokenizer:
    """A tokenizer of CLIP's form with merges at random, and an added token in mixed case."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    merges: list[tuple[str, str]] = []
    for _ in range(2000):
        first, second = draw.choice([one for one in tokens if not one.endswith("</w>")]), draw.choice(tokens)
        if len(first + second) < 12 and first + second not in tokens:
            merges.append((first, second))
            tokens.append(first + second)
    special = ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate([*tokens, *special])}
    found = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix="</w>", unk_token=special[1]))
    found.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    split = pre_tokenizers.Split(Regex(CLIP_PATTERN), "removed", invert=True)
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)]
    )
    from tokenizers import AddedToken

    found.add_special_tokens([AddedToken(token, normalized=normalized) for token in special])
    found.add_tokens([AddedToken("Caf\u00e9<x>", normalized=normalized)])
    return found


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("use_regex", [False, True])
def test_other_vocabularies(
    program: Callable[[str], Path], tables: Path, tmp_path: Path, normalized: bool, use_regex: bool
) -> None:
    draw = random.Random(1)
    file = tmp_path / "tokenizer.json"
    file.write_text(clip(draw, normalized, use_regex).to_str(), encoding="utf-8")
    ascii_text = ["".join(draw.choice("abcdefgh'123 !<|>") for _ in range(80)) for _ in range(500)]
    added = [
        "a Caf\u00e9<x> b",
        "CAF\u00c9<X>",
        "cafe\u0301<x>b",
        "<|endoftext|><|EndOfText|>",
        "xCaf\u00e9<x><x>",
    ]
    prompts = [*ascii_text, *added, *PROMPTS, *strings(draw, 500)]
    compare(
        program("tokens"),
        file,
        tables,
        TokenizerEntry("tokenizer.json", "characters.json", 20, 1, 2, 3),
        prompts,
    )


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda file: file.pop("model"), "ManifestError"),
        (lambda file: file["model"].update(type="WordPiece"), "EnvironmentMismatch"),
        (lambda file: file["model"].update(dropout=0.1), "EnvironmentMismatch"),
        (lambda file: file["model"]["vocab"].pop("!"), "EnvironmentMismatch"),
        (lambda file: file["model"]["merges"].append(["nothing", "such"]), "ManifestError"),
        (lambda file: file["normalizer"].update(type="NFKC"), "EnvironmentMismatch"),
        (lambda file: file["normalizer"]["normalizers"].append({"type": "NFC"}), "EnvironmentMismatch"),
        (lambda file: file.update(pre_tokenizer={"type": "Whitespace"}), "EnvironmentMismatch"),
        (
            lambda file: file["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex=r"\w+"),
            "EnvironmentMismatch",
        ),
        (lambda file: file["added_tokens"][0].update(lstrip=True), "EnvironmentMismatch"),
        (lambda file: file["added_tokens"][0].update(content=7), "ManifestError"),
    ],
)
def test_other_tokenizers_are_refused_by_name(
    program: Callable[[str], Path],
    bundle: Path,
    tables: Path,
    entry: TokenizerEntry,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], Any],
    error: str,
) -> None:
    file = json.loads((bundle / entry.file).read_text(encoding="utf-8"))
    change(file)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(file), encoding="utf-8")
    (found,) = ask(program("tokens"), ["unread"], path, tables, "20", "0", "1", "1")
    assert found["error"] == error
    assert found["message"].startswith("tokenizer.json: ")
