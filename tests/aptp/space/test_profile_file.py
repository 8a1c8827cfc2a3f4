"""A profile as a file: what is written is read, and what the format does not allow is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aptp.space.profile_file import MAX_BYTES, parse, read, read_unfinished, to_json, write
from runtime.errors import StorageError, TableError
from tests.aptp.train.spaces import small
from tests.profiles import profile

PROFILE = profile(small()[0])
Edit = Callable[[dict[str, Any]], object]


def changed(edit: Edit) -> bytes:
    body = json.loads(to_json(PROFILE))
    edit(body)
    return json.dumps(body).encode()


def test_round_trip() -> None:
    assert parse(to_json(PROFILE)) == PROFILE
    assert to_json(parse(to_json(PROFILE))) == to_json(PROFILE)


def test_medians_and_noise_come_from_the_samples() -> None:
    (first, *_) = parse(changed(lambda body: body["parts"][0]["samples"].update({"1": [3, 1, 2, 9]}))).parts
    assert first.seconds[1] == 2.5
    assert first.noise[1] == pytest.approx((4.5 - 1.75) / 2)


BROKEN: list[tuple[Edit, str]] = [
    (lambda body: body.update(format="aptp-bundle"), "profile is no profile: its format"),
    (lambda body: body.update(version="2.0"), "version 2.0 is unknown; this software reads 1.0"),
    (lambda body: body.update(parst=[]), r"unknown field 'parst' \(did you mean 'parts'"),
    (lambda body: body.pop("parts"), "the field 'parts' is missing"),
    (lambda body: body.update(complete=1), "complete: must be true or false"),
    (lambda body: body["setting"].pop("rows"), "setting: the field 'rows' is missing"),
    (lambda body: body["setting"].update(rows=0), "setting.rows: 0 is outside 1 to"),
    (lambda body: body["setting"].update(latent=[8]), "setting.latent: must be the two sides"),
    (lambda body: body["setting"].update(tokens=True), "setting.tokens: must be an integer"),
    (lambda body: body["parts"][2].update(kind="resnte"), r"parts\[2\].kind: 'resnte' is not .*did you"),
    (lambda body: body["parts"][0].update(modules=[1]), r"parts\[0\].modules\[0\]: must be a string"),
    (
        lambda body: body["parts"][0]["samples"].pop("1"),
        r"parts\[0\].samples: must have some with 1",
    ),
    (
        lambda body: body["parts"][0]["samples"].update({"01": [1]}),
        "counts the same gates twice",
    ),
    (
        lambda body: body["parts"][0]["samples"].update({"99": [1]}),
        "'99': samples are by gates kept, from 0",
    ),
    (
        lambda body: body["parts"][0]["samples"].update({"-1": [1]}),
        "'-1': samples are by gates kept, from 0",
    ),
    (lambda body: body["parts"][0]["samples"].update({"1": []}), "must be a list of seconds"),
    (lambda body: body["parts"][0]["samples"].update({"1": [0]}), "samples '1': must be above 0, not 0"),
    (lambda body: body["parts"][0]["samples"].update({"1": [float("nan")]}), "NaN is not a number that"),
    (lambda body: body["parts"][0].update(pace="fast"), r"parts\[0\].pace: must be a number"),
    (lambda body: body["wholes"][0].update(share=0), r"wholes\[0\].share: must be above 0"),
    (lambda body: body["wholes"][0].update(widths=[]), r"wholes\[0\].widths: must be an object"),
]


@pytest.mark.parametrize(("edit", "message"), BROKEN)
def test_what_the_format_does_not_allow(edit: Edit, message: str) -> None:
    with pytest.raises(TableError, match=message):
        parse(changed(edit))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "not UTF-8 JSON"),
        (b"[1]", "the top level must be an object"),
        (b'{"a": NaN}', "NaN is not a number that the format allows"),
        (b'{"a": 1, "a": 2}', "the key 'a' appears twice"),
        (b" " * (MAX_BYTES + 1), "at most 67108864 are allowed"),
        (b"[" * 100_000, "nested deeper than 32 levels"),
    ],
    ids=["torn", "list", "constant", "twice", "large", "deep"],
)
def test_what_is_no_json_object(data: bytes, message: str) -> None:
    with pytest.raises(TableError, match=message):
        parse(data)


def test_an_unfinished_profile_is_of_use_to_its_maker_alone(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_bytes(changed(lambda body: body.update(complete=False)))
    assert not read_unfinished(path).complete
    with pytest.raises(TableError, match="profile.json is not finished; run the same"):
        read(path)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    with pytest.raises(TableError, match=r"profile\.json cannot be read .* make one with"):
        read(path)
    path.write_bytes(changed(lambda body: body.pop("setting")))
    with pytest.raises(TableError, match=r"profile\.json: the field 'setting' is missing"):
        read(path)


def test_a_profile_replaces_another_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text("older")
    write(path, PROFILE)
    assert read(path) == PROFILE
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"missing/profile\.json cannot be written"):
        write(tmp_path / "missing" / "profile.json", PROFILE)
