"""The root volumes of instances that are to start: each must be there, and only what it carries must be subscribed to.

Codes that came with a data volume are the instance's and are charged, but they bar no start: what lies on a volume stays readable when
a subscription has lapsed.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from amiable.database import product_codes, volumes
from amiable.model.errors import IncorrectInstanceState
from amiable.model.instance import Instance
from amiable.model.product import ProductCode
from amiable.rules.volume import root_of


def codes_of_roots(c: Connection, starting: Sequence[Instance]) -> tuple[ProductCode, ...]:
    """The product codes of the root volumes; refuses an instance that has none, or whose root is being detached."""
    held = volumes.volumes_of_many(c, [instance.id for instance in starting])
    roots = []
    for instance in starting:
        root = root_of(held[instance.id], instance.root_device_name)
        if root is None or root.is_leaving:
            raise IncorrectInstanceState(
                f"Invalid value '{instance.id}' for instanceId. Instance does not have a volume attached at root "
                f"({instance.root_device_name})"
            )
        roots.append(root.id)
    return product_codes.codes_of_all(c, roots)
