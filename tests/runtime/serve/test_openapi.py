"""The document is valid, and is that of this server: its routes, the parser's fields, its replies."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from runtime.errors import QueueFull, UsageError
from runtime.request.params import SEED
from runtime.serve.app import build
from runtime.serve.backend_state import Upstream
from runtime.serve.limits import ClientPolicy
from runtime.serve.openapi import document
from runtime.serve.page import Page
from runtime.serve.problem import Problem
from runtime.serve.request_body import IMAGES, PREVIEWS, RANDOM, Body, BodyReader
from tests.runtime.serve.conftest import VERSION
from tests.runtime.serve.fake_runtime import FakeRuntime, failing
from tests.runtime.serve.test_event_stream import stream

PATH = "/v1/images/generations"
DOCUMENT = document(VERSION, ("aptp",))
SCHEMAS = DOCUMENT["components"]["schemas"]
PLAIN = Body({"prompt": ""})
read, parse = BodyReader().read, BodyReader().parse
read(PLAIN)
FIELDS = PLAIN.names


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    )


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_it_is_served_in_this_version(client: TestClient) -> None:
    assert client.get("/openapi.json").json() == DOCUMENT
    assert DOCUMENT["info"]["version"] == VERSION


def test_every_route_is_in_it_and_no_other(upstream: Upstream, page: Page) -> None:
    app: Starlette = build(upstream, VERSION, ClientPolicy(), page)
    routes = {
        (f"{route.path}/{{path}}", "get") if isinstance(route, Mount) else (route.path, method.lower())  # type: ignore[attr-defined]
        for route in app.routes
        for method in (getattr(route, "methods", None) or {"GET"}) - {"HEAD"}
    }
    assert routes == {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}


def test_every_field_is_in_it_with_its_default() -> None:
    fields = SCHEMAS["Generation"]["properties"]
    assert set(fields) == set(FIELDS)
    for name, schema in fields.items():
        if "default" in schema:
            given = {"prompt": "", name: schema["default"]}
            assert read(Body(given)) == read(Body({"prompt": ""})), name


def test_its_ranges_are_the_parsers() -> None:
    fields = SCHEMAS["Generation"]["properties"]
    assert (fields["n"]["maximum"], fields["partial_images"]["maximum"]) == (IMAGES, PREVIEWS)
    assert (fields["seed"]["minimum"], fields["seed"]["maximum"]) == (RANDOM, SEED - 1)


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"prompt"}))
@pytest.mark.parametrize(
    "value",
    [None, -1.5, -1, 0, 1, 2.5, 8, 9, 10**5, 10**19, 2**64, True, "", "auto", "aptp:1", "8x8", [], {}],
)
def test_it_takes_what_the_parser_takes(name: str, value: Any) -> None:
    body = {"prompt": "", name: value, **({"stream": True} if name == "partial_images" else {})}
    taken = validator("Generation").is_valid(body)
    try:
        parse(json.dumps(body).encode())
    except (UsageError, Problem):
        assert not taken
    else:
        assert taken


def test_replies_are_as_it_says(client: TestClient, fake: FakeRuntime) -> None:
    said = {
        "/v1/models": "Models",
        "/v1/models/aptp": "Model",
        "/v1/about": "About",
        "/v1/status": "Status",
        "/healthz": "Alive",
        "/readyz": "Ready",
        "/nowhere": "Error",
    }
    for path, name in said.items():
        validator(name).validate(client.get(path).json())
    validator("Images").validate(client.post(PATH, json={"prompt": "", "n": 2}).json())
    fake.refusal = QueueFull("full", 1.0)
    validator("Error").validate(client.post(PATH, json={"prompt": ""}).json())


def test_events_are_as_it_says(client: TestClient, fake: FakeRuntime) -> None:
    names = {
        "queued": "Queued",
        "started": "Started",
        "step": "Step",
        "partial_image": "PartialImage",
        "completed": "Completed",
    }
    told = stream(client, partial_images=1)
    assert {event["type"].removeprefix("image_generation.") for event in told} == set(names)
    for event in told:
        validator(names[event["type"].removeprefix("image_generation.")]).validate(event)
    fake.script = failing(QueueFull("x", 1.0))
    validator("Failed").validate(stream(client)[-1])
