"""Amiable's own calls, below HTTP."""

import pytest

from amiable.api import amiable
from amiable.model.errors import NotFound, UnauthorizedOperation
from amiable.model.principal import Principal
from amiable.services import Services
from tests.api.ec2.launching import make_image, run_one


def test_the_administrator_trusts_accounts_and_takes_it_back(
    services: Services, administrator: Principal, principal: Principal
) -> None:
    for is_partner in (True, True, False):
        made = amiable.set_partner(services, administrator, principal.account_id, is_partner)
        assert (made.id, made.is_partner) == (principal.account_id, is_partner)
        listed = {each.id: each.is_partner for each in amiable.list_accounts(services, administrator)}
        assert listed[principal.account_id] is is_partner
    with pytest.raises(UnauthorizedOperation):
        amiable.set_partner(services, principal, principal.account_id, True)
    with pytest.raises(NotFound):
        amiable.set_partner(services, administrator, "999999999999", True)


def test_an_instances_hardware_is_its_owners_to_know(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    instance_id = run_one(services, principal, make_image(services, principal))
    found = amiable.hardware_of(services, principal, instance_id)
    assert (found.hardware_profile, "virtio" in found.hardware_profile_why) == ("virtio", True)
    with pytest.raises(NotFound):
        amiable.hardware_of(services, other_principal, instance_id)
