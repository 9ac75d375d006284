"""How RunInstances may name an image."""

import pytest

from amiable.model.errors import Malformed
from amiable.rules.image_alias import Alias, read_alias


def test_an_id_a_parameter_and_a_digest_are_told_apart() -> None:
    assert read_alias("ami-0123456789abcdef0") == Alias(image_id="ami-0123456789abcdef0")
    assert read_alias("resolve:ssm:/a/b:3") == Alias(parameter="/a/b:3")
    assert read_alias(f"resolve:digest:sha256:{'ab' * 32}") == Alias(digest=b"\xab" * 32)


@pytest.mark.parametrize(
    "text", ["", "ami-1", "resolve:ssm:", "resolve:digest:", "resolve:digest:sha256:ab", "Resolve:ssm:/a", "ssm:/a"]
)
def test_anything_else_is_no_image_id(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        read_alias(text)
    assert refused.value.code == "InvalidAMIID.Malformed"
