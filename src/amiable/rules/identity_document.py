"""The instance identity document: who an instance is, in octets that stay the same through one boot, because signatures cover them.

Source: EC2 user guide, "Instance identity documents".
"""

import json

from amiable.model.instance import Instance
from amiable.model.product import ProductCodeType


def identity_document(instance: Instance) -> str:
    """The identity document: its octets stay the same through one boot, because signatures cover them."""
    members = {
        "accountId": instance.account_id,
        "architecture": instance.architecture,
        "availabilityZone": instance.zone,
        "billingProducts": None,
        "devpayProductCodes": _codes(instance, ProductCodeType.DEVPAY),
        "marketplaceProductCodes": _codes(instance, ProductCodeType.MARKETPLACE),
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "kernelId": instance.kernel_id,
        "pendingTime": f"{instance.launched_at:%Y-%m-%dT%H:%M:%SZ}",
        "privateIp": instance.private_ip,
        "ramdiskId": instance.ramdisk_id,
        "region": instance.region,
        "version": "2017-09-30",
    }
    return json.dumps(members, indent=2, separators=(",", " : "))


def _codes(instance: Instance, type_: ProductCodeType) -> list[str] | None:
    return [each.code for each in instance.product_codes if each.type is type_] or None
