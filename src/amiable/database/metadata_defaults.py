"""An account's defaults of metadata options in a region."""

from dataclasses import asdict

from sqlalchemy import Connection, insert, select, update

from amiable.database.schema import metadata_default as D
from amiable.model.metadata_defaults import MetadataDefaults


def find(c: Connection, account_id: str, region: str) -> MetadataDefaults:
    """The account's defaults; no preference where nothing was said."""
    row = c.execute(select(D).where(D.c.account_id == account_id, D.c.region == region)).first()
    if row is None:
        return MetadataDefaults()
    return MetadataDefaults(
        row.http_tokens, row.http_hop_limit, row.http_endpoint, row.instance_metadata_tags, row.http_tokens_enforced
    )


def put(c: Connection, account_id: str, region: str, defaults: MetadataDefaults) -> None:
    """Replaces them."""
    values = asdict(defaults)
    mine = (D.c.account_id == account_id) & (D.c.region == region)
    if c.execute(update(D).where(mine).values(**values)).rowcount == 0:
        c.execute(insert(D).values(account_id=account_id, region=region, **values))
