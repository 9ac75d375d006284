"""The instance types that may launch an image: read back with it, replaced as a whole."""

from datetime import UTC, datetime

from amiable.database import accounts, images
from amiable.database.instance_type_rules import replace_rule
from amiable.model.instance_type_rule import InstanceTypeRule
from amiable.services import Services
from tests.rules.images import AN_IMAGE, OWNER

RULES = (
    InstanceTypeRule(("t3.*", "a1.*", "m5.large"), ("*.nano",)),
    InstanceTypeRule((), ("t3.micro", "a1.micro")),
    InstanceTypeRule(tuple(f"m{number}.*" for number in range(100)), ()),
    InstanceTypeRule(),
)


def test_a_rule_reads_back_in_its_order_and_replaces_the_one_before(services: Services) -> None:
    with services.database.write() as c:
        accounts.insert_account(c, accounts.Account(OWNER, "owner", False, datetime(2026, 1, 1, tzinfo=UTC)))
        images.insert_image(c, AN_IMAGE)
        for rule in RULES:
            replace_rule(c, AN_IMAGE.id, rule)
            image = images.get(c, AN_IMAGE.region, AN_IMAGE.id, viewer=OWNER)
            assert image is not None and image.instance_types == rule
