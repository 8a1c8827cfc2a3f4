"""The body of a request: what is read, and that every other value is refused with the name of its field."""

import json
from typing import Any

import pytest

from runtime.errors import FieldError, UsageError
from runtime.request.options import RequestOptions
from runtime.request.params import GenerationParams
from runtime.serve.problem import Problem
from runtime.serve.request_body import HINTS, Body, BodyReader, ImagesRequest

parse = BodyReader().parse


def read(**fields: Any) -> ImagesRequest:
    return parse(json.dumps({"prompt": "a red circle", **fields}).encode())


def test_a_prompt_is_enough() -> None:
    assert read() == ImagesRequest("a red circle")


def test_everything_can_be_said() -> None:
    asked = read(
        model="aptp:3",
        n=2,
        size="64x32",
        response_format="b64_json",
        output_format="webp",
        stream=False,
        partial_images=0,
        user="somebody",
        quality="standard",
        style="vivid",
        background="opaque",
        moderation="low",
        seed=2**64 - 2,
        steps=7,
        guidance=1.5,
        negative_prompt="blue",
        solver="ddim",
        priority=-1,
        deadline=30,
    )
    params = GenerationParams(
        code=3,
        size=(64, 32),
        seed=2**64 - 2,
        steps=7,
        guidance=1.5,
        negative_prompt="blue",
        solver="ddim",
    )
    options = RequestOptions(priority=-1, deadline=30.0)
    assert asked == ImagesRequest("a red circle", params, options, n=2, output_format="webp")


def test_null_is_as_good_as_nothing() -> None:
    body = Body({"prompt": ""})
    BodyReader().read(body)
    assert read(**dict.fromkeys(set(body.names) - {"prompt"})) == read()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"model": "aptp"}, None),
        ({"model": "aptp:0"}, 0),
        ({"model": "aptp:dense"}, "dense"),
        ({"code": 2}, 2),
        ({"code": "dense"}, "dense"),
        ({"model": "aptp", "code": 1}, 1),
        ({"model": "aptp:1", "code": 1}, 1),
    ],
)
def test_an_expert_is_named_by_code_or_model(fields: dict[str, Any], code: int | str | None) -> None:
    assert read(**fields).params.code == code


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("prompt", 5, "must be a string"),
        ("prompt", "x" * 10_001, "shorten it to 10000"),
        ("prompt", "a\0b", "NUL"),
        ("prompt", "\ud800", "surrogate"),
        ("negative_prompt", ["x"], "must be a string"),
        ("model", 3, "give a string"),
        ("n", 0, "from 1 to 8"),
        ("n", 9, "from 1 to 8"),
        ("n", True, "from 1 to 8"),
        ("n", 1.0, "from 1 to 8"),
        ("n", "1", "from 1 to 8"),
        ("size", "64", "WIDTHxHEIGHT"),
        ("size", "0x64", "WIDTHxHEIGHT"),
        ("size", "64x64\n", "WIDTHxHEIGHT"),
        ("size", "1234567x8", "WIDTHxHEIGHT"),
        ("size", 64, "give a string"),
        ("response_format", "url", "images are kept nowhere"),
        ("response_format", "gif", "give 'b64_json'"),
        ("output_format", "gif", "'png' or 'jpeg' or 'webp'"),
        ("output_format", ["png"], "'png' or 'jpeg' or 'webp'"),
        ("stream", 1, "true or false"),
        ("partial_images", -1, "from 0"),
        ("background", "transparent", "no transparent parts"),
        ("background", 1, "'auto' or 'opaque'"),
        ("seed", -2, "from -1"),
        ("seed", 2**64, "from -1"),
        ("steps", 0, "from 1 to 10000"),
        ("guidance", -0.5, "from 0 to 1000"),
        ("guidance", "2", "from 0 to 1000"),
        ("guidance", False, "from 0 to 1000"),
        ("num_inference_steps", 0, "from 1 to 10000"),
        ("guidance_scale", -1, "from 0 to 1000"),
        ("solver", 1, "give a string"),
        ("code", 1.5, "a code's number"),
        ("code", -1, "a code's number"),
        ("code", "3", "a code's number"),
        ("priority", 2, "from -1 to 1"),
        ("deadline", 0, "from 0.001"),
        ("deadline", 86_401, "to 86400"),
    ],
)
def test_what_cannot_be_used_is_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(FieldError, match=message) as refused:
        read(**{field: value})
    assert refused.value.field == field


def test_an_unknown_field_names_the_nearest() -> None:
    with pytest.raises(FieldError, match="did you mean 'guidance'") as refused:
        read(guidence=2)
    assert refused.value.field == "guidence"


def test_a_prompt_is_needed() -> None:
    with pytest.raises(FieldError, match="is missing") as refused:
        parse(b"{}")
    assert refused.value.field == "prompt"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "aptp:1", "code": 2}, "model"),
        ({"stream": True, "n": 2}, "n"),
        ({"partial_images": 1}, "partial_images"),
        ({"seed": 2**64 - 1, "n": 2}, "seed"),
        ({"steps": 3, "num_inference_steps": 4}, "num_inference_steps"),
        ({"guidance": 3, "guidance_scale": 4}, "guidance_scale"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(FieldError) as refused:
        read(**fields)
    assert refused.value.field == param


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not UTF-8 JSON"),
        (b"\xff", "not UTF-8 JSON"),
        (b"[]", "must be an object"),
        (b'{"prompt": "a"', "not UTF-8 JSON"),
        (b'{"prompt": "a", "prompt": "b"}', "appears twice"),
        (b'{"prompt": "a", "guidance": NaN}', "not a number"),
        (b'{"prompt": "a", "guidance": 1e400}', "too large"),
        (b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}", "beyond"),
        (b"[" * 100_000, "nested deeper"),
    ],
)
def test_what_is_no_document_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(body)


def test_the_server_has_a_deadline_for_those_that_name_none() -> None:
    assert read().within(60.0).deadline == 60.0
    assert read(deadline=2).within(60.0).deadline == 2.0
    assert read(deadline=2).within(None).deadline == 2.0


@pytest.mark.parametrize(
    "asked",
    [{"num_inference_steps": 7, "guidance_scale": 3}, {"steps": 7, "num_inference_steps": 7, "guidance": 3}],
)
def test_diffusers_names_are_taken_as_well(asked: dict[str, Any]) -> None:
    assert read(**asked) == read(steps=7, guidance=3)


def test_the_client_s_own_names_are_kept() -> None:
    asked = read(model="aptp:1", num_inference_steps=7, guidance=3)
    assert {name: asked.spelt[name] for name in ("code", "steps", "guidance")} == {
        "code": "model",
        "steps": "num_inference_steps",
        "guidance": "guidance",
    }
    assert read(code=1).spelt["code"] == "code"


@pytest.mark.parametrize("name", HINTS)
@pytest.mark.parametrize("value", ["hd", 3, True, {"a": []}])
def test_hints_change_nothing_whatever_their_value(name: str, value: Any) -> None:
    assert read(**{name: value}) == read()


@pytest.mark.parametrize("name", ["dall-e-3", "", "aptp:", "aptp:01", "aptp:dens", "APTP", "aptp:0:0"])
def test_a_model_of_another_name_is_not_there(name: str) -> None:
    with pytest.raises(Problem, match="there is no model") as missing:
        read(model=name)
    assert (missing.value.status, missing.value.param, missing.value.code) == (
        404,
        "model",
        "model_not_found",
    )


def test_the_operator_names_the_model() -> None:
    reader = BodyReader(("dall-e-3", "gpt-image-1"))
    for name, code in (
        ("dall-e-3", None),
        ("gpt-image-1", None),
        ("gpt-image-1:2", 2),
        ("dall-e-3:dense", "dense"),
    ):
        assert reader.parse(json.dumps({"prompt": "", "model": name}).encode()).params.code == code
    with pytest.raises(Problem, match="there is no model 'aptp'"):
        reader.parse(b'{"prompt": "", "model": "aptp"}')


def test_a_seed_may_be_left_to_chance() -> None:
    seeds = {read(seed=-1).params.seed for _ in range(5)}
    assert len(seeds) > 1
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert read().params.seed == 0


def test_the_operator_says_which_seed_a_request_has_that_names_none() -> None:
    assert BodyReader(seed=7).parse(b'{"prompt": ""}').params.seed == 7
    assert BodyReader(seed=7).parse(b'{"prompt": "", "seed": null}').params.seed == 7
    assert BodyReader(seed=7).parse(b'{"prompt": "", "seed": 3}').params.seed == 3
    assert len({BodyReader(seed=None).parse(b'{"prompt": ""}').params.seed for _ in range(5)}) > 1


def test_a_byte_order_mark_is_no_part_of_the_body() -> None:
    assert parse(b'\xef\xbb\xbf{"prompt": "a"}') == parse(b'{"prompt": "a"}')
