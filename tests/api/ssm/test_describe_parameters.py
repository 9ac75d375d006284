"""A page of parameters is read one by one, by name: no further than it goes."""

from typing import Any

import pytest

from amiable.api.ssm.describe_parameters import get_parameters_by_path
from amiable.api.ssm.put_parameter import put_parameter
from amiable.model.parameter import Parameter
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.wire.generated import ssm
from tests.support.services import make_account


def test_a_page_reads_no_more_parameters_than_it_shows_and_one(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    principal: Principal = make_account(services, "many")[1]
    for number in range(30):
        request = ssm.PutParameterRequest(name=f"/many/{number:02}", value="v", type="String")
        put_parameter(services, principal, request)
    read: list[str] = []
    made = Parameter.__init__

    def counting(self: Parameter, *args: Any, **words: Any) -> None:
        made(self, *args, **words)
        read.append(self.name)

    monkeypatch.setattr(Parameter, "__init__", counting)
    asked = ssm.GetParametersByPathRequest(path="/many", max_results=4)
    answer = get_parameters_by_path(services, principal, asked)
    assert [each.name for each in answer.parameters or []] == [f"/many/{number:02}" for number in range(4)]
    assert len(read) == 5
