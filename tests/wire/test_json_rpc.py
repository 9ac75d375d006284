"""The JSON 1.1 codec against botocore, in both directions, and what it refuses."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.model.errors import InvalidAction
from amiable.model.parameter_errors import SsmRefusal
from amiable.wire import operations
from amiable.wire.generated import ssm
from amiable.wire.json_rpc import CONTENT_TYPE, SSM
from tests.wire import oracle


@given(st.sampled_from(operations.SSM), st.integers(0, 2**32), st.sampled_from([0.5, 1]))
@settings(max_examples=200, deadline=None)
def test_requests_and_answers_agree_with_the_client(name: str, seed: int, chance: float) -> None:
    model = oracle.model("ssm").operation_model(name)
    maker = oracle.Maker(seed, chance)
    asked, answered = maker.value(model.input_shape), maker.value(model.output_shape)
    fix_keys(asked)
    sent = oracle.serialise("ssm", name, asked)
    assert SSM.action_of(sent["headers"]["X-Amz-Target"]) == name
    assert sent["headers"]["Content-Type"] == CONTENT_TYPE
    typed = SSM.read_request(ssm.OPERATIONS[name], sent["body"])
    assert oracle.agrees(model.input_shape, typed, asked)
    body = SSM.write_response(ssm.OPERATIONS[name], oracle.typed(ssm, model.output_shape, answered))
    assert oracle.parse("ssm", name, body) == answered


def fix_keys(asked: dict[str, Any]) -> None:
    """Values where the model has a pattern that the maker does not know."""
    for each in asked.get("ParameterFilters", []):
        each["Key"] = "Name"
    if "KeyId" in asked:
        asked["KeyId"] = "alias/aws/ssm"


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        (b"[]", "SerializationException", "not a JSON object"),
        (b"{", "SerializationException", "not a JSON object"),
        (b"\xff", "SerializationException", "not a JSON object"),
        (b"{}", "ValidationException", "Name"),
        (b'{"Name": 1}', "ValidationException", "Name"),
        (b'{"Name": ""}', "ValidationException", "Name"),
        (b'{"Name": "a", "WithDecryption": "yes"}', "ValidationException", "WithDecryption"),
        (b'{"Name": "a", "Colour": "red"}', "ValidationException", "Colour"),
        (b'{"Name": "a\\u0000"}', "ValidationException", "Name"),
    ],
)
def test_what_the_model_does_not_allow_is_refused_by_name(body: bytes, code: str, named: str) -> None:
    with pytest.raises(SsmRefusal) as refused:
        SSM.read_request(ssm.OPERATIONS["GetParameter"], body)
    assert refused.value.code == code and named in refused.value.message


@pytest.mark.parametrize("target", ["", "GetParameter", "AmazonSSM.", "AmazonSSM.Nothing", "AmazonEC2.GetParameter"])
def test_a_target_that_names_no_action_is_refused(target: str) -> None:
    with pytest.raises(InvalidAction):
        SSM.action_of(target)


def test_an_action_that_is_not_built_is_known(name: str = "SendCommand") -> None:
    assert SSM.action_of(f"AmazonSSM.{name}") == name and name not in SSM.service.operations


def test_an_error_is_told_as_the_client_reads_it() -> None:
    assert json.loads(SSM.write_error("ParameterNotFound", "no <&>")) == {
        "__type": "ParameterNotFound",
        "message": "no <&>",
    }
