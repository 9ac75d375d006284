"""A request is known by its own name, and by its parameters."""

from types import ModuleType

import pytest

from amiable.api.requests import action_of
from amiable.wire.generated import ebs, ec2, rbin, ssm


def test_a_request_names_its_action() -> None:
    assert action_of(ec2.DescribeTagsRequest()) == "DescribeTags"


@pytest.mark.parametrize("service", [ebs, ec2, rbin, ssm], ids=["ebs", "ec2", "rbin", "ssm"])
def test_every_request_that_is_paged_or_made_once_is_named_for_its_action(service: ModuleType) -> None:
    types = {name: service.SHAPES[it.input].type for name, it in service.OPERATIONS.items() if it.input}
    told = {name for name, type_ in types.items() if {"next_token", "client_token"} & {*type_.__struct_fields__}}
    assert told and {name: types[name].__name__ for name in told} == {name: f"{name}Request" for name in told}
