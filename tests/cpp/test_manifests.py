"""Good and bad manifests and bundles: C++ says what Python says."""

import dataclasses
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from runtime.bundle.manifest import parse
from runtime.bundle.reader import Bundle
from runtime.bundle.schema import Expert, Manifest, Model
from runtime.errors import RuntimeFailure
from tests.bundles import add_supernet, edit, relist, sign, sign_bytes, write_bundle
from tests.cpp.answers import ask, refusal
from tests.fault import test_bundle_manifest as faults
from tests.runtime.bundle.test_manifest import BROKEN, judged
from tests.runtime.engines.test_supernet import CODES

MUTATIONS = 3000
# Messages that JSON's parsers give in words of their own.
OWN_WORDS = (
    "not UTF-8 JSON",
    "surrogate",
    "nested deeper",
    "is beyond 2^53",
    "too large",
    "appears twice",
    "is not a number",
)


def model(entry: Model) -> list[Any]:
    return [list(entry.paths), entry.identity]


def expert(entry: Expert) -> list[Any]:
    compiled = [
        [
            *(one.kind, one.file, one.precision, one.profile["batch"].usual, one.profile["height"].least),
            *(one.profile["width"].most, dict(one.target), one.identity),
        ]
        for one in entry.compiled
    ]
    kept = [*map(float, entry.gates.kept)] if entry.gates else []
    earned = [
        [one.engine, one.precision, one.processor, [list(dataclasses.astuple(shown)) for shown in one.rung]]
        for one in entry.earned
    ]
    return [
        *(model(entry.model), model(entry.clock), entry.parameters, entry.macs),
        *(earned, compiled, kept, model(entry.int8) if entry.int8 else []),
    ]


def everything(found: Manifest) -> dict[str, Any]:
    """A manifest as the program prints it."""
    router, decoder = found.router, found.decoder
    value = {
        "version": found.version,
        "producer": dict(found.producer),
        "source": list(dataclasses.astuple(found.source)),
        "defaults": list(dataclasses.astuple(found.defaults)),
        "latent": list(dataclasses.astuple(found.latent)),
        "router": [
            *(
                router.kind,
                router.encoder,
                model(router.model),
                router.codes,
                router.tie,
                router.fallback or "",
            )
        ],
        "decoder": [model(decoder.model), decoder.scale, decoder.scaling_factor, decoder.shift_factor],
        "dense_macs": found.dense_macs,
        "encoders": [
            [
                *(name, model(one.model), list(one.inputs), one.output, one.tokenizer.file),
                *(one.tokenizer.characters, one.tokenizer.length),
                *(one.tokenizer.bos, one.tokenizer.eos, one.tokenizer.pad),
            ]
            for name, one in found.encoders.items()
        ],
        "conditioning": [[one.input, one.encoder] for one in found.conditioning],
        "experts": {name: expert(one) for name, one in found.experts.items()},
        "schedules": {
            name: [one.table, one.window, list(one.rows), list(one.noise_scale)]
            for name, one in found.schedules.items()
        },
        "files": {path: [one.size, one.sha256] for path, one in found.files.items()},
    }
    if router.out_of_distribution:
        value["out_of_distribution"] = [
            router.out_of_distribution.threshold,
            router.out_of_distribution.expert,
        ]
    if decoder.preview:
        value["preview"] = [list(row) for row in decoder.preview]
    return value


def of_file(path: Path) -> dict[str, Any]:
    try:
        return everything(parse(path.read_bytes()))
    except RuntimeFailure as failure:
        return refusal(failure)


def of_folder(path: Path) -> dict[str, Any]:
    try:
        bundle = Bundle.open(path)
        bundle.verify()
        return everything(bundle.manifest)
    except RuntimeFailure as failure:
        return refusal(failure)


def verdict(answer: dict[str, Any]) -> dict[str, Any]:
    return {"error": answer["error"]} if "error" in answer else answer


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("manifests") / "bundle")


@pytest.fixture(scope="module")
def data(root: Path) -> bytes:
    return (root / "manifest.json").read_bytes()


def changed(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    document = json.loads(data)
    change(document)
    return json.dumps(document).encode()


def put(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda manifest: manifest.update(values)


def good(data: bytes) -> Iterator[bytes]:
    """Manifests that are allowed, each in some way of its own."""
    yield data
    yield b" \t\r\n" + data + b"\n"
    yield json.dumps(json.loads(data), ensure_ascii=False).encode()
    yield changed(data, lambda m: m["source"].update(name="ein Häuschen \U0001f3e0 " + "x" * 4080))
    yield changed(data, lambda m: m["source"].update(name="\U0001f3e0" * 4096))
    yield changed(data, lambda m: m["router"].update(fallback="dense", tie=0))
    yield changed(
        data, lambda m: m["router"].update(out_of_distribution={"threshold": 1e-300, "expert": "3"})
    )
    yield changed(data, lambda m: m["decoder"].pop("preview"))
    yield changed(data, lambda m: m["decoder"].update(scaling_factor=-1e308, shift_factor=-0.0))
    yield changed(data, lambda m: m["defaults"].update(guidance=1000))
    yield changed(data, lambda m: m["experts"]["0"].update(macs=2**53, parameters=0))
    yield changed(data, judged)
    yield changed(data, lambda m: m["producer"].update({"a b": "", "c": "d"}) or m["producer"].pop("a b"))
    for version in ("3.1", "3.10", "3.9999"):
        yield changed(data, put(version=version, novelty={"deep": [[[1e5]]], "null": None}))
        yield changed(data, lambda m: faults.add_unknown_fields(m) or m.update(version="3.3"))


DOCUMENTS = [
    *(
        b"",
        b" ",
        b"{}",
        b"[]",
        b"null",
        b"1",
        b'"a"',
        b"{",
        b"}",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"{}\0",
        b"\0{}",
    ),
    *(b'{"a": 1,}', b"{'a': 1}", b'{"a": 01}', b'{"a": +1}', b'{"a": .5}', b'{"a": 1.}', b'{"a": 1e}'),
    *(b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1e999}', b'{"a": -1e999}', b'{"a": 1e-999}', b'{"a": -0}'),
    *(
        b'{"a": tru}',
        b'{"a": "\t"}',
        b'{"a": "\x7f"}',
        b'{"a": "\\x"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\udc00x"}',
    ),
    *(b'{"\\ud800": 1}', b'{"a": "\xed\xa0\x80"}', b'{"a": "\xc0\x80"}', b'{"a": "\xf4\x90\x80\x80"}'),
    *(b'{"a": 1, "a": 1}', b'{"a": {"b": 1, "b": 2}}', b'{"a": 1, "\\u0061": 1}', b'{"a": 1} x', b"// c\n{}"),
    *(b"[" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b'{"format":' + b"9" * 100_000 + b"}"),
    *(b'{"a": 9007199254740993}', b'{"a": -9007199254740993}', b'{"a": 18446744073709551616}'),
    *(b" " * (4 * 1024 * 1024 + 1), b'{"' + b"a" * 100_000 + b'":1, "format":"aptp-bundle"}'),
]


def mutations(data: bytes) -> Iterator[bytes]:
    draw = random.Random(8)
    kinds = [faults.flip, faults.splice, faults.literal, faults.restructure, faults.duplicate]
    for _ in range(MUTATIONS):
        mutation: Callable[[random.Random, bytes], bytes] = draw.choice(kinds)
        yield mutation(draw, data)


def compare(program: Path, folder: Path, documents: Sequence[bytes]) -> list[tuple[Any, Any]]:
    """Return what Python and C++ say of each document, once they have agreed on verdict and kind of error."""
    folder.mkdir()
    paths = [folder / f"{index}.json" for index in range(len(documents))]
    for path, document in zip(paths, documents, strict=True):
        path.write_bytes(document)
    wanted, found = [of_file(path) for path in paths], ask(program, map(str, paths))
    wrong = [
        (document[:2000], one, other)
        for document, one, other in zip(documents, wanted, found, strict=True)
        if verdict(one) != verdict(other)
    ]
    assert not wrong[:2]
    return [*zip(wanted, found, strict=True)]


def test_good_manifests(program: Callable[[str], Path], data: bytes, tmp_path: Path) -> None:
    answers = compare(program("manifests"), tmp_path / "m", [*good(data)])
    assert all("error" not in wanted for wanted, _ in answers)


def test_broken_rules_have_the_same_messages(
    program: Callable[[str], Path], data: bytes, tmp_path: Path
) -> None:
    documents = [changed(data, change) for _, change, _ in BROKEN]
    answers = compare(program("manifests"), tmp_path / "m", documents)
    assert all(wanted["error"] == "ManifestError" for wanted, _ in answers)
    pairs = [(wanted["message"], found["message"]) for wanted, found in answers]
    ours = [pair for pair in pairs if not any(words in pair[0] for words in OWN_WORDS)]
    assert len(ours) > 60
    assert not [(wanted, found) for wanted, found in ours if wanted != found]


def test_documents(program: Callable[[str], Path], tmp_path: Path) -> None:
    answers = compare(program("manifests"), tmp_path / "m", DOCUMENTS)
    assert all(len(found["message"]) < 1000 for _, found in answers)


def test_compiled_engines_and_gates(program: Callable[[str], Path], tmp_path: Path) -> None:
    root = write_bundle(tmp_path / "bundle")
    add_supernet(root, CODES, data=b"no engine at all")
    data = (root / "manifest.json").read_bytes()

    def entry(manifest: dict[str, Any]) -> Any:
        return manifest["experts"]["1"]["compiled"][0]

    def gates(manifest: dict[str, Any]) -> Any:
        return manifest["experts"]["1"]["gates"]

    documents = [
        data,
        changed(data, lambda m: entry(m).update(kind="onnx")),
        changed(data, lambda m: entry(m).update(precision="float64")),
        changed(data, lambda m: entry(m).update(identity="0" * 64)),
        changed(data, lambda m: entry(m).update(file="nowhere")),
        changed(data, lambda m: entry(m)["profile"].update(batch=[2, 1, 3])),
        changed(data, lambda m: entry(m)["profile"].update(batch=[1, 2])),
        changed(data, lambda m: entry(m)["profile"].update(batch=[1, 2, 2**16 + 1])),
        changed(data, lambda m: entry(m)["profile"].update(depth=[1, 2, 3])),
        changed(data, lambda m: entry(m).update(target={"a b": "c"})),
        changed(data, lambda m: entry(m).update(target={"a": "b\n"})),
        changed(data, lambda m: entry(m).update(target={"größe": "b"})),
        changed(data, lambda m: entry(m).update(target={"a": "\u3042"})),
        changed(data, lambda m: entry(m).update(target={})),
        changed(data, lambda m: m["experts"]["1"]["compiled"].append(entry(m))),
        changed(data, lambda m: m["experts"]["1"].update(compiled=[])),
        changed(data, lambda m: m["experts"]["1"].pop("compiled")),
        changed(data, lambda m: m["experts"]["1"].pop("gates")),
        changed(data, lambda m: gates(m).update(count=4)),
        changed(data, lambda m: gates(m).update(bits="XX")),
        changed(data, lambda m: gates(m).update(bits="51")),
        changed(data, lambda m: gates(m).update(count=7)),
        changed(data, lambda m: gates(m).update(count=0, bits="0")),
        changed(data, lambda m: gates(m).update(count=2**14 + 1)),
        changed(data, lambda m: m["experts"]["dense"]["gates"].update(bits="fe")),
    ]
    answers = compare(program("manifests"), tmp_path / "m", documents)
    assert "error" not in answers[0][0]
    assert sum("error" in wanted for wanted, _ in answers) >= len(documents) - 3


def test_mutations(program: Callable[[str], Path], data: bytes, tmp_path: Path) -> None:
    answers = compare(program("manifests"), tmp_path / "m", [*mutations(data)])
    refused = sum("error" in wanted for wanted, _ in answers)
    assert 0.9 * MUTATIONS < refused < MUTATIONS


def no_bundle(root: Path) -> None:
    shutil.rmtree(root)


def a_checkpoint(root: Path) -> None:
    (root / "manifest.json").unlink()
    (root / "model_index.json").write_text("{}")


def a_link(root: Path) -> None:
    (root / "router/model.onnx").rename(root / "elsewhere")
    (root / "router/model.onnx").symlink_to("../elsewhere")


def a_linked_folder(root: Path) -> None:
    (root / "router").rename(root / "elsewhere")
    (root / "router").symlink_to("elsewhere")


def a_folder(root: Path) -> None:
    (root / "router/model.onnx").unlink()
    (root / "router/model.onnx").mkdir()


def a_pipe(root: Path) -> None:
    (root / "router/model.onnx").unlink()
    os.mkfifo(root / "router/model.onnx")


def one_bit(root: Path) -> None:
    path = root / "experts/1/unet/model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def one_more_byte(root: Path) -> None:
    path = root / "manifest.json"
    path.write_bytes(path.read_bytes() + b" ")


def climbing(root: Path) -> None:
    edit(root, lambda m: m["files"].update({"../outside": {"size": 1, "sha256": "0" * 64}}))


FOLDERS: list[tuple[str, Callable[[Path], Any]]] = [
    ("untouched", lambda root: None),
    ("nothing there", no_bundle),
    ("an empty folder", lambda root: (no_bundle(root), root.mkdir())),
    ("a checkpoint", a_checkpoint),
    ("no signature", lambda root: (root / "manifest.sha256").unlink()),
    ("another signature", lambda root: (root / "manifest.sha256").write_text("0" * 64 + "  manifest.json\n")),
    (
        "a signature in capitals",
        lambda root: (root / "manifest.sha256").write_text("A" * 64 + "  manifest.json\n"),
    ),
    ("half a signature", lambda root: (root / "manifest.sha256").write_text("0" * 63)),
    ("a long signature", lambda root: (root / "manifest.sha256").write_text("0" * 300)),
    ("one more byte", one_more_byte),
    ("a large manifest", lambda root: sign_bytes(root, b" " * (4 * 1024 * 1024 + 1))),
    (
        "a manifest that is a link",
        lambda root: ((root / "manifest.json").rename(root / "m"), (root / "manifest.json").symlink_to("m")),
    ),
    ("a missing file", lambda root: (root / "router/model.onnx").unlink()),
    ("a short file", lambda root: (root / "schedules/ddim.bin").write_bytes(b"")),
    ("one bit", one_bit),
    ("a link", a_link),
    ("a linked folder", a_linked_folder),
    ("a folder for a file", a_folder),
    ("a pipe for a file", a_pipe),
    ("a path that climbs", climbing),
    ("a file that is not listed", lambda root: (root / "extra").write_bytes(b"x")),
    ("a file listed anew", lambda root: relist(root, "tokenizer/tokenizer.json")),
    ("no JSON", lambda root: sign_bytes(root, b"[")),
    ("an empty object", lambda root: sign(root, {})),
]


@pytest.mark.parametrize("change", [pytest.param(change, id=name) for name, change in FOLDERS])
def test_folders(
    program: Callable[[str], Path], root: Path, tmp_path: Path, change: Callable[[Path], Any]
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(root, folder)
    change(folder)
    (found,) = ask(program("manifests"), [str(folder)])
    wanted = of_folder(folder)
    assert verdict(found) == verdict(wanted)
    if "error" in wanted and not any(words in wanted["message"] for words in OWN_WORDS):
        assert found["message"] == wanted["message"]
