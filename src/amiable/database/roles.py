"""Queries on roles, their policies and instance profiles.  A name is found whatever its case."""

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from amiable.database.schema import instance_profile as P
from amiable.database.schema import role as R
from amiable.database.schema import role_policy as D
from amiable.model.role import InstanceProfile, Role, Tags


def get_role(c: Connection, role_id: str) -> Role | None:
    """The role of this id, whoever owns it."""
    row = c.execute(select(R).where(R.c.id == role_id)).first()
    return None if row is None else _role(row)


def find_role(c: Connection, account_id: str, name: str) -> Role | None:
    """The account's role of this name."""
    row = c.execute(select(R).where(R.c.account_id == account_id, R.c.name_key == name.lower())).first()
    return None if row is None else _role(row)


def list_roles(c: Connection, account_id: str) -> list[Role]:
    """The account's roles by name."""
    return [_role(row) for row in c.execute(select(R).where(R.c.account_id == account_id).order_by(R.c.name_key))]


def insert_role(c: Connection, role: Role) -> None:
    """Inserts it."""
    c.execute(
        insert(R).values(
            id=role.id,
            account_id=role.account_id,
            name=role.name,
            name_key=role.name.lower(),
            path=role.path,
            description=role.description,
            trust_policy=role.trust_policy,
            session_seconds_max=role.session_seconds_max,
            tags=json.dumps(role.tags),
            created_at=role.created_at,
        )
    )


def set_trust_policy(c: Connection, role_id: str, document: str) -> None:
    """Replaces it."""
    c.execute(update(R).where(R.c.id == role_id).values(trust_policy=document))


def delete_role(c: Connection, role_id: str) -> None:
    """Deletes a role that has no policies and is in no instance profile."""
    c.execute(delete(R).where(R.c.id == role_id))


def policies_of(c: Connection, role_id: str) -> dict[str, str]:
    """Name → document, by name."""
    query = select(D.c.name, D.c.document).where(D.c.role_id == role_id).order_by(D.c.name)
    return {row.name: row.document for row in c.execute(query)}


def put_policy(c: Connection, role_id: str, name: str, document: str) -> None:
    """Puts a policy, over one of the same name."""
    mine = (D.c.role_id == role_id) & (D.c.name == name)
    if c.execute(update(D).where(mine).values(document=document)).rowcount == 0:
        c.execute(insert(D).values(role_id=role_id, name=name, document=document))


def delete_policy(c: Connection, role_id: str, name: str) -> bool:
    """Deletes a policy; says whether there was one."""
    return c.execute(delete(D).where(D.c.role_id == role_id, D.c.name == name)).rowcount > 0


def get_profile(c: Connection, profile_id: str) -> InstanceProfile | None:
    """The instance profile of this id, whoever owns it."""
    found = _profiles(c, P.c.id == profile_id)
    return found[0] if found else None


def find_profile(c: Connection, account_id: str, name: str) -> InstanceProfile | None:
    """The account's instance profile of this name."""
    found = _profiles(c, (P.c.account_id == account_id) & (P.c.name_key == name.lower()))
    return found[0] if found else None


def list_profiles(c: Connection, account_id: str, *, role_id: str | None = None) -> list[InstanceProfile]:
    """The account's instance profiles by name; only those with the role when given."""
    mine = P.c.account_id == account_id
    return _profiles(c, mine if role_id is None else mine & (P.c.role_id == role_id))


def insert_profile(c: Connection, profile: InstanceProfile) -> None:
    """Inserts it, without a role."""
    assert profile.role is None
    c.execute(
        insert(P).values(
            id=profile.id,
            account_id=profile.account_id,
            name=profile.name,
            name_key=profile.name.lower(),
            path=profile.path,
            role_id=None,
            tags=json.dumps(profile.tags),
            created_at=profile.created_at,
        )
    )


def set_profile_role(c: Connection, profile_id: str, role_id: str | None) -> None:
    """Puts the role into the profile, or with None takes it out."""
    c.execute(update(P).where(P.c.id == profile_id).values(role_id=role_id))


def delete_profile(c: Connection, profile_id: str) -> None:
    """Deletes it; instances that have it keep its name and get no credentials any more."""
    c.execute(delete(P).where(P.c.id == profile_id))


def count_roles(c: Connection, account_id: str) -> int:
    """How many roles the account has."""
    return int(c.execute(select(func.count()).select_from(R).where(R.c.account_id == account_id)).scalar_one())


def count_profiles(c: Connection, account_id: str) -> int:
    """How many instance profiles the account has."""
    return int(c.execute(select(func.count()).select_from(P).where(P.c.account_id == account_id)).scalar_one())


def _profiles(c: Connection, wanted: ColumnElement[bool]) -> list[InstanceProfile]:
    rows = c.execute(select(P).where(wanted).order_by(P.c.name_key)).all()
    role_ids = {row.role_id for row in rows if row.role_id is not None}
    held = select(P.c.role_id).where(wanted)
    roles = {row.id: _role(row) for row in c.execute(select(R).where(R.c.id.in_(held)))} if role_ids else {}
    return [
        replace(
            InstanceProfile(row.id, row.account_id, row.name, row.path, None, _tags(row.tags), row.created_at),
            role=roles.get(row.role_id),
        )
        for row in rows
    ]


def _role(row: Row[Any]) -> Role:
    return Role(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        path=row.path,
        description=row.description,
        trust_policy=row.trust_policy,
        session_seconds_max=row.session_seconds_max,
        tags=_tags(row.tags),
        created_at=row.created_at,
    )


def _tags(text: str) -> Tags:
    return tuple((key, value) for key, value in json.loads(text))
