"""Queries on what is kept of consoles: the posted text, the password a guest printed, and who may use the serial console.

What belongs to an instance goes with its row.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from amiable.database.schema import console_post as P
from amiable.database.schema import password_data as W
from amiable.database.schema import serial_console_access as A


@dataclass(frozen=True, slots=True)
class Post:
    """The console's last bytes as they were at a moment."""

    posted_at: datetime
    output: bytes


@dataclass(frozen=True, slots=True)
class Password:
    """A password that a guest printed, encrypted with its key: base64."""

    seen_at: datetime
    text: str


def put_post(c: Connection, instance_id: str, post: Post) -> None:
    """Keeps the post in place of an earlier one."""
    values = {"posted_at": post.posted_at, "output": post.output}
    if c.execute(update(P).where(P.c.instance_id == instance_id).values(**values)).rowcount == 0:
        c.execute(insert(P).values(instance_id=instance_id, **values))


def find_post(c: Connection, instance_id: str) -> Post | None:
    """The last post; None before the first."""
    row = c.execute(select(P.c.posted_at, P.c.output).where(P.c.instance_id == instance_id)).first()
    return None if row is None else Post(row.posted_at, row.output)


def put_password(c: Connection, instance_id: str, password: Password) -> None:
    """Keeps the password in place of an earlier one."""
    values = {"seen_at": password.seen_at, "password": password.text}
    if c.execute(update(W).where(W.c.instance_id == instance_id).values(**values)).rowcount == 0:
        c.execute(insert(W).values(instance_id=instance_id, **values))


def find_password(c: Connection, instance_id: str) -> Password | None:
    """The password that was printed last; None while there is none."""
    row = c.execute(select(W.c.seen_at, W.c.password).where(W.c.instance_id == instance_id)).first()
    return None if row is None else Password(row.seen_at, row.password)


def is_serial_console_enabled(c: Connection, account_id: str, region: str) -> bool:
    """Whether the account may use the serial console in the region; not, where nothing was said."""
    row = c.execute(select(A.c.is_enabled).where(A.c.account_id == account_id, A.c.region == region)).first()
    return row is not None and row.is_enabled


def enable_serial_console(c: Connection, account_id: str, region: str, *, is_enabled: bool) -> None:
    """Puts the account's switch in the region."""
    mine = (A.c.account_id == account_id) & (A.c.region == region)
    if c.execute(update(A).where(mine).values(is_enabled=is_enabled)).rowcount == 0:
        c.execute(insert(A).values(account_id=account_id, region=region, is_enabled=is_enabled))
