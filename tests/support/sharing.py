"""Accounts whose images may be public: a new account's are guarded, as on EC2."""

from dataclasses import replace

from amiable.database import block_public_access
from amiable.model.block_public_access import UNBLOCKED
from amiable.services import Services


def allow_public_images(services: Services, account_id: str, region: str | None = None) -> None:
    """What DisableImageBlockPublicAccess does."""
    where = region or services.settings.region
    with services.database.write() as c:
        guard = block_public_access.find(c, account_id, where)
        block_public_access.put(c, account_id, where, replace(guard, images=UNBLOCKED))
