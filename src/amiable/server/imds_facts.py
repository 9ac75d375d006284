"""What the metadata service tells of one instance, read from the database in one view; credentials are made when they are asked for."""

import json
from datetime import UTC, datetime

from sqlalchemy import Connection, select

from amiable.api.ec2.placement import zones_of
from amiable.api.sessions import Session, instance_session
from amiable.database import interfaces, network, profile_associations, roles, tags, volumes
from amiable.database.schema import address, image
from amiable.model.instance import Instance
from amiable.model.network import NetworkInterface
from amiable.model.role import InstanceProfile, ProfileAssociation, Role
from amiable.model.volume import Volume
from amiable.rules import imds
from amiable.rules.devices import is_mapped
from amiable.rules.hardware import in_guest_order
from amiable.rules.policy import Asked, Assumer, Verdict, decide_trust, read_trust_policy
from amiable.rules.volume import root_of
from amiable.services import Services

SERVICE = "ec2.amazonaws.com"
"""Whom a role's trust policy names for instances."""


def read_facts(services: Services, instance: Instance) -> imds.Facts:
    """The facts of the instance now."""
    with services.database.read() as c:
        held = in_guest_order(volumes.volumes_of(c, instance.id), instance.root_device_name)
        there = [volume for volume in held if _is_told(volume, instance)]
        root = root_of(held, instance.root_device_name)
        of_image = select(image.c.location, image.c.ancestor_ami_ids).where(image.c.id == instance.image_id)
        location, ancestors = c.execute(of_image).one_or_none() or (None, None)
        zones = {zone.name: zone.id for zone in zones_of(services, instance.region)}
        return imds.Facts(
            instance=instance,
            image_location=location or "(unknown)",
            volumes=tuple(it.device_name or "" for it in there if not it.is_instance_store and it != root),
            local_disks={it.virtual_name: it.device_name or "" for it in there if it.virtual_name and is_mapped(it)},
            interfaces=_interfaces(c, instance),
            zone_id=zones.get(instance.zone, instance.zone),
            tags=tags.tags_of(c, instance.account_id, [instance.id]).get(instance.id, {}),
            ancestor_ami_ids=tuple((ancestors or "").split()),
            profile=_profile(services, c, instance),
            identity=_identity(services, instance),
        )


def _is_told(volume: Volume, instance: Instance) -> bool:
    """Whether the volume was there at the launch or the last start: what came later the tree does not tell."""
    return volume.attached_at is None or volume.attached_at <= instance.launched_at


def _interfaces(c: Connection, instance: Instance) -> tuple[imds.Interface, ...]:
    groups = {each.id: each.name for each in network.list_security_groups(c, instance.account_id, instance.region)}
    subnets = {each.id: each for each in network.list_subnets(c, instance.account_id, instance.region)}
    vpcs = {each.id: each for each in network.list_vpcs(c, instance.account_id, instance.region)}
    found = interfaces.interfaces_of(c, [instance.id]).get(instance.id, [])
    found = found or [interfaces.primary_of(instance)]
    public = select(address.c.interface_id, address.c.public_ip).where(
        address.c.interface_id.in_([it.id for it in found])
    )
    public_ips = {row.interface_id: row.public_ip for row in c.execute(public)}

    def told(it: NetworkInterface) -> imds.Interface:
        vpc = vpcs.get(it.vpc_id)
        return imds.Interface(
            id=it.id,
            mac=it.mac,
            device_number=it.attachment.device_index if it.attachment else 0,
            private_ip=it.private_ip,
            subnet_id=it.subnet_id,
            subnet_cidr=subnets[it.subnet_id].cidr if it.subnet_id in subnets else "",
            vpc_id=it.vpc_id,
            vpc_cidr=vpc.cidr if vpc else "",
            group_ids=it.group_ids,
            group_names=tuple(groups.get(group_id, group_id) for group_id in it.group_ids),
            public_ip=public_ips.get(it.id),
            has_public_name=vpc is not None and vpc.has_dns_hostnames,
        )

    return tuple(sorted((told(it) for it in found), key=lambda it: it.device_number))


# ── credentials ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _profile(services: Services, c: Connection, instance: Instance) -> imds.Credentials | None:
    association = profile_associations.associations_of(c, [instance.id]).get(instance.id)
    profile = None if association is None else roles.get_profile(c, association.profile_id)
    if association is None or profile is None:
        return None
    role = profile.role
    return imds.Credentials(
        info=lambda: _info(association, profile),
        role_name=None if role is None else role.name,
        credentials=lambda: "" if role is None else _credentials(services, instance, role),
    )


def _identity(services: Services, instance: Instance) -> imds.Credentials:
    """What says who the instance is, and may do nothing else."""
    told = {"Code": "Success", "LastUpdated": _instant(instance.launched_at), "AccountId": instance.account_id}
    return imds.Credentials(
        info=lambda: _json(told),
        role_name="ec2-instance",
        credentials=lambda: _session_json(instance_session(services, instance, None)),
    )


def _info(association: ProfileAssociation, profile: InstanceProfile) -> str:
    return _json(
        {
            "Code": "Success",
            "LastUpdated": _instant(association.created_at),
            "InstanceProfileArn": profile.arn,
            "InstanceProfileId": profile.id,
        }
    )


def _credentials(services: Services, instance: Instance, role: Role) -> str:
    """The role's credentials for the instance, where the role trusts EC2."""
    verdict = decide_trust(
        read_trust_policy(role.trust_policy),
        Assumer(service=SERVICE),
        Asked("sts:AssumeRole", context={"aws:requestedregion": instance.region}),
    )
    if verdict is not Verdict.ALLOWED:
        return _json(
            {
                "Code": "AssumeRoleUnauthorizedAccess",
                "Message": f"EC2 cannot assume the role {role.name}: its trust policy does not name {SERVICE}.",
                "LastUpdated": _instant(services.now()),
            }
        )
    return _session_json(instance_session(services, instance, role))


def _session_json(session: Session) -> str:
    return _json(
        {
            "Code": "Success",
            "LastUpdated": _instant(session.begun_at),
            "Type": "AWS-HMAC",
            "AccessKeyId": session.key_id,
            "SecretAccessKey": session.secret,
            "Token": session.token,
            "Expiration": _instant(session.expires_at),
        }
    )


def _json(members: dict[str, str]) -> str:
    return json.dumps(members, indent=2, separators=(",", " : "))


def _instant(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
