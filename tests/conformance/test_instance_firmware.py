"""GetInstanceUefiData and GetInstanceTpmEkPub as stock boto3 asks: what is told, and what is refused; no guest."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from amiable.database import instances
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.rules.tpm_commands import ECC, RSA, TEMPLATES
from amiable.rules.uefi_data import read_uefi_data
from amiable.vm.directory import make_directory, open_directory
from amiable.vm.firmware import NAME, make_variables
from amiable.vm.tpm import KEYS
from tests.api.ec2.launching import make_image, run_one
from tests.conformance.test_instances import refused
from tests.rules.test_tpm_commands import rsa_public
from tests.rules.uefi import ORDER, PLATFORM_KEY, uefi_data
from tests.server.edge import Edge


def instance(edge: Edge, **facts: Any) -> str:
    """A pending instance of an image with ``facts``."""
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    made = run_one(edge.services, owner, make_image(edge.services, owner, **facts))
    make_directory(edge.services.data, made, range(230_000, 230_100))
    return made


@pytest.mark.proves("ec2", "GetInstanceUefiData")
def test_the_variables_of_an_instance_are_told_from_its_first_boot_on(edge: Edge, ec2: Any) -> None:
    made = instance(edge, boot_mode="uefi")
    code, text, status = refused(ec2.get_instance_uefi_data, InstanceId=made)
    assert (code, status) == ("UnsupportedOperation", 400)
    assert text.startswith(f"The instance '{made}' has no UEFI variables: it is pending.")
    with open_directory(edge.services.data, made) as directory:
        make_variables(directory, uefi_data(ORDER))
    told = ec2.get_instance_uefi_data(InstanceId=made)
    assert told["InstanceId"] == made and read_uefi_data(told["UefiData"]) == (ORDER,)
    assert refused(ec2.get_instance_uefi_data, InstanceId=made, DryRun=True)[0] == "DryRunOperation"

    (edge.services.data / "instances" / made / NAME).write_bytes(b"\xff" * 9000)
    code, text, _ = refused(ec2.get_instance_uefi_data, InstanceId=made)
    assert code == "UnsupportedOperation" and text.startswith(f"The UEFI variables of '{made}' cannot be read. ")


def test_an_instance_that_starts_by_bios_has_no_variables(edge: Edge, ec2: Any) -> None:
    made = instance(edge)
    code, text, _ = refused(ec2.get_instance_uefi_data, InstanceId=made)
    assert code == "UnsupportedOperation"
    assert text.startswith(f"The instance '{made}' does not start by UEFI: its boot mode is legacy-bios.")


@pytest.mark.proves("ec2", "GetInstanceTpmEkPub")
def test_the_tpms_keys_are_told_in_both_forms(edge: Edge, ec2: Any) -> None:
    made = instance(edge, boot_mode="uefi", tpm_support="v2.0")
    asked = {"InstanceId": made, "KeyType": RSA, "KeyFormat": "der"}
    code, text, status = refused(ec2.get_instance_tpm_ek_pub, **asked)
    assert (code, status) == ("InstanceTpmEkPubNotFound", 400) and made in text
    key = rsa.generate_private_key(65537, 2048).public_key()
    public = rsa_public(key.public_numbers().n.to_bytes(256, "big"))
    with open_directory(edge.services.data, made) as directory:
        directory.keep(KEYS, json.dumps({RSA: public.hex(), ECC: TEMPLATES[ECC].hex()}).encode())
    told = ec2.get_instance_tpm_ek_pub(**asked)
    assert (told["InstanceId"], told["KeyType"], told["KeyFormat"]) == (made, RSA, "der")
    assert load_der_public_key(base64.b64decode(told["KeyValue"])) == key
    told = ec2.get_instance_tpm_ek_pub(**{**asked, "KeyFormat": "tpmt"})
    assert base64.b64decode(told["KeyValue"]) == public
    assert refused(ec2.get_instance_tpm_ek_pub, **asked, DryRun=True)[0] == "DryRunOperation"
    shown = ec2.describe_instances(InstanceIds=[made])["Reservations"][0]["Instances"][0]
    assert (shown["TpmSupport"], shown["BootMode"], shown["CurrentInstanceBootMode"]) == ("v2.0", "uefi", "uefi")


@pytest.mark.parametrize(("parameter", "allowed"), [("KeyType", "ecc-sec-p384, rsa-2048"), ("KeyFormat", "der, tpmt")])
def test_a_key_of_another_kind_is_refused(edge: Edge, ec2: Any, parameter: str, allowed: str) -> None:
    asked = {"InstanceId": instance(edge), "KeyType": RSA, "KeyFormat": "der", parameter: "none"}
    code, text, _ = refused(ec2.get_instance_tpm_ek_pub, **asked)
    assert code == "InvalidParameterValue" and parameter in text and f"Valid values: {allowed}." in text


def test_an_instance_without_a_tpm_has_no_keys_and_one_that_is_not_there_neither(edge: Edge, ec2: Any) -> None:
    asked = {"KeyType": RSA, "KeyFormat": "der"}
    assert refused(ec2.get_instance_tpm_ek_pub, InstanceId=instance(edge), **asked)[0] == "InstanceTpmEkPubNotFound"
    for call, words in ((ec2.get_instance_uefi_data, {}), (ec2.get_instance_tpm_ek_pub, asked)):
        assert refused(call, InstanceId="i-" + "0" * 17, **words)[0] == "InvalidInstanceID.NotFound"
        assert refused(call, InstanceId="ami-" + "0" * 17, **words)[0] == "InvalidInstanceID.Malformed"


def test_what_is_gone_is_told_no_more(edge: Edge, ec2: Any) -> None:
    made = instance(edge, boot_mode="uefi", tpm_support="v2.0")
    with edge.services.database.write() as c:
        instances.set_state(c, made, Event.LAUNCH_FAILED, now=edge.services.now())
    assert "it is terminated" in refused(ec2.get_instance_uefi_data, InstanceId=made)[1]
    asked = {"KeyType": RSA, "KeyFormat": "der"}
    assert refused(ec2.get_instance_tpm_ek_pub, InstanceId=made, **asked)[0] == "InstanceTpmEkPubNotFound"


def stop(edge: Edge, made: str) -> None:
    """The instance as one that ran and was stopped."""
    with edge.services.database.write() as c:
        for event in (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED):
            instances.set_state(c, made, event, now=edge.services.now())


def test_an_instance_with_a_tpm_keeps_its_type_and_its_image_gets_the_variables_and_a_tpm_of_its_own(
    edge: Edge, ec2: Any
) -> None:
    made = instance(edge, boot_mode="uefi", tpm_support="v2.0", uefi_data=uefi_data(ORDER))
    with open_directory(edge.services.data, made) as directory:
        make_variables(directory, uefi_data(ORDER, PLATFORM_KEY))
        directory.keep(KEYS, b"{}")
    stop(edge, made)
    code, text, _ = refused(ec2.modify_instance_attribute, InstanceId=made, InstanceType={"Value": "amiable.1c512m"})
    assert code == "UnsupportedOperation"
    assert text.startswith(f"The instance '{made}' has a TPM (v2.0): its instance type cannot be changed.")

    image_id = ec2.create_image(InstanceId=made, Name="what it has now")["ImageId"]
    told = ec2.describe_image_attribute(ImageId=image_id, Attribute="uefiData")["UefiData"]["Value"]
    assert read_uefi_data(told) == (ORDER, PLATFORM_KEY)
    (image,) = ec2.describe_images(ImageIds=[image_id])["Images"]
    assert (image["TpmSupport"], image["BootMode"]) == ("v2.0", "uefi")


def test_another_instance_may_have_another_type(edge: Edge, ec2: Any) -> None:
    made = instance(edge, boot_mode="uefi")
    stop(edge, made)
    ec2.modify_instance_attribute(InstanceId=made, InstanceType={"Value": "amiable.1c512m"})
    (shown,) = ec2.describe_instances(InstanceIds=[made])["Reservations"][0]["Instances"]
    assert shown["InstanceType"] == "amiable.1c512m"
