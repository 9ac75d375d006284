"""Network interfaces as values: the number tells one from another, in its id, its addresses and its instance."""

from datetime import UTC, datetime

from amiable.model.network import Attachment, NetworkInterface

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def interface(number: int, *groups: str, vpc: str = "vpc-1", checked: bool = True) -> NetworkInterface:
    """The interface of instance ``i-<number>`` at 172.31.0.<number>, 1 to 254."""
    return NetworkInterface(
        id=f"eni-{number:017x}",
        account_id="123456789012",
        region="us-east-1",
        zone="us-east-1a",
        vpc_id=vpc,
        subnet_id="subnet-1",
        private_ip=f"172.31.0.{number}",
        mac=f"02:00:00:00:00:{number:02x}",
        group_ids=groups,
        description="",
        has_source_dest_check=checked,
        created_at=NOW,
        attachment=Attachment("eni-attach-1", f"i-{number}", 0, NOW, True),
    )
