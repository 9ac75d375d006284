"""A launch template keeps so much and no more."""

import base64

import pytest

from amiable.api.ec2.launch_template_data import DATA_BYTES_MAX, check_data
from amiable.model.errors import InvalidParameterValue
from amiable.model.instance_errors import InvalidUserDataMalformed
from amiable.rules.launch import USER_DATA_BYTES_MAX
from amiable.wire.generated import ec2


def data_of(size: int) -> ec2.RequestLaunchTemplateData:
    return ec2.RequestLaunchTemplateData(user_data=base64.b64encode(bytes(size)).decode())


def test_user_data_is_bounded_as_in_a_launch() -> None:
    check_data(data_of(USER_DATA_BYTES_MAX))
    with pytest.raises(InvalidParameterValue, match=f"User data is limited to {USER_DATA_BYTES_MAX} bytes"):
        check_data(data_of(USER_DATA_BYTES_MAX + 1))
    with pytest.raises(InvalidUserDataMalformed):
        check_data(ec2.RequestLaunchTemplateData(user_data="?"))


def test_the_data_as_a_whole_is_bounded() -> None:
    groups = [f"sg-{number:017x}" for number in range(DATA_BYTES_MAX // 20)]
    check_data(ec2.RequestLaunchTemplateData(security_group_ids=groups[:1000]))
    with pytest.raises(InvalidParameterValue, match=f"limited to {DATA_BYTES_MAX} bytes"):
        check_data(ec2.RequestLaunchTemplateData(security_group_ids=groups))
