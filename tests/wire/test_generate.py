"""The generator: its output is what is kept, and it copes with the whole of EC2."""

import sys
import types
from dataclasses import replace

import pytest

from amiable.wire import generate, operations
from amiable.wire.generated import ebs, ec2, iam, sts
from amiable.wire.parameters import parse
from amiable.wire.query_codec import QueryCodec
from amiable.wire.shape import Scalar, Service
from tests.wire import oracle


def test_make_wire_changes_nothing() -> None:
    assert generate.main(["--check"]) == 0


def test_every_listed_operation_is_generated() -> None:
    assert tuple(ec2.OPERATIONS) == operations.EC2
    assert tuple(ebs.OPERATIONS) == operations.EBS
    assert tuple(sts.OPERATIONS) == operations.STS
    assert tuple(iam.OPERATIONS) == operations.IAM
    assert set(operations.EC2) <= ec2.ACTIONS
    assert len(ec2.ACTIONS) > 800


def test_keywords_get_an_underscore() -> None:
    assert generate.attribute("From") == "from_"
    assert generate.attribute("ImageIds") == "image_ids"


@pytest.fixture(scope="module")
def whole_ec2() -> types.ModuleType:
    """Types and tables of all operations that EC2 has."""
    model = oracle.model("ec2")
    module = types.ModuleType("whole_ec2")
    sys.modules["whole_ec2"] = module
    exec(compile(generate.render(model, tuple(model.operation_names)), "whole_ec2", "exec"), module.__dict__)
    return module


def test_the_codec_agrees_with_the_client_on_every_operation_that_ec2_has(whole_ec2: types.ModuleType) -> None:
    model, service = oracle.model("ec2"), whole_ec2.SERVICE
    assert isinstance(service, Service)
    # Patterns aside: the values here are made without regard to them, and one of EC2's own (PlacementGroupArn) matches nothing.
    shapes = {
        n: replace(shape, pattern=None) if isinstance(shape, Scalar) else shape for n, shape in service.shapes.items()
    }
    codec = QueryCodec(replace(service, shapes=shapes))
    different = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        members = oracle.Maker(3, chance=0.8).value(operation.input_shape) if operation.input_shape else {}
        root = parse(oracle.form("ec2", name, members))
        del root.children["Action"], root.children["Version"]
        if operation.input_shape and not oracle.agrees(
            operation.input_shape, codec.read(operation.input_shape.name, root), members
        ):
            different.append(name)
    assert different == []


def test_the_client_agrees_with_the_codec_on_every_answer_that_ec2_has(whole_ec2: types.ModuleType) -> None:
    model, codec = oracle.model("ec2"), QueryCodec(whole_ec2.SERVICE)
    different = []
    for name in model.operation_names:
        shape = model.operation_model(name).output_shape
        if shape is None:
            continue
        members = oracle.Maker(4, chance=1).value(shape)
        body = codec.write_result(shape.name, oracle.typed(whole_ec2, shape, members))
        if oracle.parse("ec2", name, f"<R>{body}</R>".encode()) != members:
            different.append(name)
    assert different == []
