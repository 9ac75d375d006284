"""``amiable kernel add`` from a bundle: one on this disk is opened here with its user's key, one in a bucket by the server."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amiable.cli.bundle.options import telling
from amiable.cli.bundle.pem import need_pem, read_pem
from amiable.cli.client import call, client, the_image, wait_for
from amiable.cli.kernel import register_file
from amiable.cli.output import Progress
from amiable.model.errors import LocalRefusal
from amiable.model.image import ImageType

AVAILABLE_SECONDS_MAX = 300.0


@dataclass(frozen=True, slots=True)
class Keys:
    """What a bundle is verified and opened with."""

    cert: Path | None
    privatekey: Path | None
    waive_signature: bool


def machine_image(bundle: object) -> LocalRefusal:
    """What is said of a bundle that holds neither a kernel nor a ramdisk."""
    return LocalRefusal(
        f"{bundle} is the bundle of a machine image, not of a kernel or ramdisk",
        hint="aws ec2 register-image registers machine images",
    )


def add_bundle(manifest: Path, facts: dict[str, Any], keys: Keys) -> dict[str, Any]:
    """Opens the bundle at ``manifest`` and registers what it holds; ``facts`` that are None are the bundle's own."""
    from amiable.bundle import unbundle as opening
    from amiable.rules.manifest import image_type_of

    waivers = opening.Waivers(signature=keys.waive_signature)
    certificates = read_pem(keys.cert, "certificate")
    bundle = opening.find_bundle(manifest, certificates, waivers=waivers)
    found = bundle.manifest
    image_type = image_type_of(found)
    if image_type is ImageType.MACHINE:
        raise machine_image(manifest)
    name = facts["Name"] or found.name
    with tempfile.TemporaryDirectory(prefix="amiable-kernel-") as folder, Progress("unbundle", 0) as progress:
        path = Path(folder) / image_type.value
        opening.unbundle(
            bundle,
            path,
            private_key_pem=need_pem(keys.privatekey, "-k", "EC2_PRIVATE_KEY"),
            progress=telling(progress),
        )
        architecture = facts["Architecture"] or found.architecture or "x86_64"
        wanted = {"Name": name, "Type": image_type.value, "Architecture": architecture}
        return register_file(path, {**wanted, "Description": facts["Description"]})


def register_bundle(location: str, facts: dict[str, Any]) -> dict[str, Any]:
    """RegisterImage of a bundle in a bucket, waited for; the kernel as ``amiable kernel list`` shows it."""
    filename = location.rpartition("/")[2].removesuffix(".xml").removesuffix(".manifest")
    request = {"Name": facts["Name"] or filename, "ImageLocation": location}
    request |= {key: facts[key] for key in ("Architecture", "Description") if facts[key]}
    ec2 = client("ec2")
    image_id = str(ec2.register_image(**request)["ImageId"])
    if image_id.startswith("ami-"):
        ec2.deregister_image(ImageId=image_id)
        raise machine_image(location)

    def look() -> dict[str, Any] | None:
        found: list[dict[str, Any]] = call("GET", "/kernels")["Kernels"]
        row = next((each for each in found if each["ImageId"] == image_id), None)
        if row is None or row["State"] == "pending":
            return None
        if row["State"] != "available":
            image = the_image(ec2, image_id)
            reason = image.get("StateReason", {}).get("Message", "no reason given")
            ec2.deregister_image(ImageId=image_id)
            raise LocalRefusal(f"{location} could not be registered: {reason}")
        return row

    return wait_for(f"{image_id} to be available", look, AVAILABLE_SECONDS_MAX)
