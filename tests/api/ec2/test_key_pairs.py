"""Key pairs: fingerprints as ssh-keygen and OpenSSL compute them, names, and what is refused."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from amiable.api.ec2 import key_pairs as api
from amiable.database import instances
from amiable.model.errors import Refusal
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.wire.generated import ec2
from tests.api.ec2.launching import make_image, run_one


def create(services: Services, principal: Principal, name: str = "mine", **parameters: Any) -> ec2.KeyPair:
    return api.create_key_pair(services, principal, ec2.CreateKeyPairRequest(key_name=name, **parameters))


def bring(services: Services, principal: Principal, material: bytes, name: str = "brought") -> ec2.ImportKeyPairResult:
    request = ec2.ImportKeyPairRequest(key_name=name, public_key_material=material)
    return api.import_key_pair(services, principal, request)


def described(services: Services, principal: Principal, **parameters: Any) -> list[ec2.KeyPairInfo]:
    return api.describe_key_pairs(services, principal, ec2.DescribeKeyPairsRequest(**parameters)).key_pairs or []


def delete(services: Services, principal: Principal, **parameters: Any) -> ec2.DeleteKeyPairResult:
    return api.delete_key_pair(services, principal, ec2.DeleteKeyPairRequest(**parameters))


def output(*command: str | Path, feed: bytes = b"") -> bytes:
    return subprocess.run(command, input=feed, check=True, capture_output=True).stdout


def refused(code: str, *call: Any, **parameters: Any) -> None:
    function, *rest = call
    with pytest.raises(Refusal) as caught:
        function(*rest, **parameters)
    assert caught.value.code == code


@pytest.mark.parametrize("key_type", ["rsa", "ed25519"])
def test_ssh_keygen_reads_the_private_key_and_finds_the_kept_public_one(
    services: Services, principal: Principal, tmp_path: Path, key_type: str
) -> None:
    made = create(services, principal, key_type=key_type)
    private = tmp_path / "key"
    private.write_text(str(made.key_material))
    private.chmod(0o600)
    (kept,) = described(services, principal, include_public_key=True)
    assert output("ssh-keygen", "-y", "-f", private).split()[:2] == str(kept.public_key).encode().split()[:2]
    assert (kept.key_type, kept.key_fingerprint) == (key_type, made.key_fingerprint)


def test_a_made_rsa_keys_fingerprint_is_sha1_of_its_pkcs8_der(services: Services, principal: Principal) -> None:
    made = create(services, principal)
    assert str(made.key_material).startswith("-----BEGIN RSA PRIVATE KEY-----")
    der = output("openssl", "pkcs8", "-topk8", "-nocrypt", "-outform", "DER", feed=str(made.key_material).encode())
    digest = output("openssl", "sha1", "-c", feed=der).split()[-1].decode()
    assert made.key_fingerprint == digest


def test_an_imported_rsa_keys_fingerprint_is_md5_of_its_der(
    services: Services, principal: Principal, tmp_path: Path
) -> None:
    output("ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-m", "PEM", "-C", "me@home", "-f", tmp_path / "k")
    der = output("openssl", "rsa", "-in", tmp_path / "k", "-pubout", "-outform", "DER")
    digest = output("openssl", "md5", "-c", feed=der).split()[-1].decode()
    line = (tmp_path / "k.pub").read_bytes()
    assert bring(services, principal, line).key_fingerprint == digest
    pem = output("openssl", "rsa", "-in", tmp_path / "k", "-pubout")
    assert bring(services, principal, pem, "as-pem").key_fingerprint == digest
    (kept,) = described(services, principal, key_names=["brought"], include_public_key=True)
    assert str(kept.public_key).encode() == line.strip()


def test_an_ed25519_keys_fingerprint_is_ssh_keygens(services: Services, principal: Principal, tmp_path: Path) -> None:
    output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", tmp_path / "k")
    shown = output("ssh-keygen", "-l", "-f", tmp_path / "k.pub").split()[1].decode()
    brought = bring(services, principal, (tmp_path / "k.pub").read_bytes())
    assert "SHA256:" + str(brought.key_fingerprint).rstrip("=") == shown


@pytest.mark.parametrize(
    "material",
    [
        b"",
        b"not a key",
        b"ssh-rsa AAAA",
        b"ssh-ed25519 !!!! me",
        b"\xff\xfe",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n",
        b"---- BEGIN SSH2 PUBLIC KEY ----",
        b"---- BEGIN SSH2 PUBLIC KEY ----\nComment: me\nAAAA\n",
        b"---- BEGIN SSH2 PUBLIC KEY ----\nComment: me\\\n---- END SSH2 PUBLIC KEY ----",
        b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAAB3NzaC1yc2E=\n---- END SSH2 PUBLIC KEY ----",
        b"x" * 20_000,
    ],
)
def test_what_is_no_public_key_is_refused(services: Services, principal: Principal, material: bytes) -> None:
    refused("InvalidKey.Format", bring, services, principal, material)


@pytest.mark.parametrize("key_type", ["rsa", "ed25519"])
def test_a_key_in_the_form_of_rfc_4716_is_the_same_key(
    services: Services, principal: Principal, tmp_path: Path, key_type: str
) -> None:
    output("ssh-keygen", "-q", "-t", key_type, "-N", "", "-C", "me@home", "-f", tmp_path / "k")
    line = (tmp_path / "k.pub").read_bytes()
    exported = output("ssh-keygen", "-e", "-m", "RFC4716", "-f", tmp_path / "k.pub")
    begin, _, *body = exported.splitlines()
    folded = b"\r\n".join((begin, b"Subject: me", b'Comment: "me@\\', b'home"', *body, b""))
    prints = {bring(services, principal, each, name).key_fingerprint for name, each in (("a", line), ("b", exported))}
    assert prints == {bring(services, principal, folded, "c").key_fingerprint}
    (kept,) = described(services, principal, key_names=["c"], include_public_key=True)
    assert str(kept.public_key).encode() == line.strip()


def test_an_ecdsa_key_and_a_second_line_are_refused(services: Services, principal: Principal, tmp_path: Path) -> None:
    output("ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", tmp_path / "k")
    refused("InvalidKey.Format", bring, services, principal, (tmp_path / "k.pub").read_bytes())
    output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "e")
    line = (tmp_path / "e.pub").read_bytes().strip()
    refused("InvalidKey.Format", bring, services, principal, line + b"\ncommand=evil ssh-rsa AAAA")


def test_a_name_belongs_to_one_key_of_an_account(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    create(services, principal, key_type="ed25519")
    refused("InvalidKeyPair.Duplicate", create, services, principal, key_type="ed25519")
    create(services, other_principal, key_type="ed25519")
    assert len(described(services, principal)) == len(described(services, other_principal)) == 1


def test_names_types_and_forms_are_checked(services: Services, principal: Principal) -> None:
    for name in ("", " x", "a\nb", "é", "x" * 256):
        refused("InvalidParameterValue", create, services, principal, name)
    refused("InvalidParameterValue", create, services, principal, key_type="dsa")
    refused("InvalidParameterValue", create, services, principal, key_format="der")


def test_dry_runs_make_and_delete_nothing(services: Services, principal: Principal) -> None:
    refused("DryRunOperation", create, services, principal, key_type="ed25519", dry_run=True)
    assert described(services, principal) == []
    create(services, principal, key_type="ed25519")
    refused("DryRunOperation", delete, services, principal, key_name="mine", dry_run=True)
    assert len(described(services, principal)) == 1


def test_key_pairs_are_found_by_name_id_filter_and_tag(services: Services, principal: Principal) -> None:
    tagged = [ec2.TagSpecification(resource_type="key-pair", tags=[ec2.Tag(key="team", value="a")])]
    one = create(services, principal, "one", key_type="ed25519", tag_specifications=tagged)
    create(services, principal, "two", key_type="ed25519")

    def names(**parameters: Any) -> list[str | None]:
        return [each.key_name for each in described(services, principal, **parameters)]

    assert names() == ["one", "two"]
    assert names(key_names=["two"]) == ["two"]
    assert names(key_pair_ids=[str(one.key_pair_id)]) == ["one"]
    assert names(filters=[ec2.Filter(name="key-name", values=["t*"])]) == ["two"]
    assert names(filters=[ec2.Filter(name="tag:team", values=["a"])]) == ["one"]
    assert described(services, principal)[0].public_key is None
    refused("InvalidKeyPair.NotFound", names, key_names=["one", "three"])
    refused("InvalidParameterValue", names, filters=[ec2.Filter(name="colour", values=["x"])])


def test_deleting_is_by_name_or_id_and_an_absent_name_succeeds(services: Services, principal: Principal) -> None:
    made = create(services, principal, key_type="ed25519")
    assert delete(services, principal, key_name="absent").return_ is True
    assert delete(services, principal, key_pair_id=made.key_pair_id).key_pair_id == made.key_pair_id
    assert described(services, principal) == []
    refused("InvalidKeyPair.NotFound", delete, services, principal, key_pair_id="key-" + "0" * 17)
    refused("MissingParameter", delete, services, principal)


def test_deleting_anothers_key_by_id_finds_nothing(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    made = create(services, principal, key_type="ed25519")
    refused("InvalidKeyPair.NotFound", delete, services, other_principal, key_pair_id=made.key_pair_id)
    assert len(described(services, principal)) == 1


def test_an_instance_keeps_the_key_it_was_launched_with(services: Services, principal: Principal) -> None:
    create(services, principal, key_type="ed25519")
    (kept,) = described(services, principal, include_public_key=True)
    instance_id = run_one(services, principal, make_image(services, principal), key_name="mine")
    delete(services, principal, key_name="mine")
    with services.database.read() as c:
        instance = instances.get_instance(c, instance_id)
    assert instance is not None and instance.public_key == kept.public_key


@pytest.mark.parametrize("key_type", ["rsa", "ed25519"])
def test_puttygen_reads_a_ppk_and_finds_the_kept_public_key(
    services: Services, principal: Principal, tmp_path: Path, key_type: str
) -> None:
    made = create(services, principal, key_type=key_type, key_format="ppk")
    private = tmp_path / "key.ppk"
    private.write_bytes(str(made.key_material).encode())
    private.chmod(0o600)
    (kept,) = described(services, principal, include_public_key=True)
    assert output("puttygen", private, "-L").split()[:2] == str(kept.public_key).encode().split()[:2]
    output("puttygen", private, "-O", "private-openssh", "-o", tmp_path / "key")
    (tmp_path / "key").chmod(0o600)
    assert output("ssh-keygen", "-y", "-f", tmp_path / "key").split()[:2] == str(kept.public_key).encode().split()[:2]
    assert kept.key_fingerprint == made.key_fingerprint


def test_an_account_has_so_many_key_pairs_and_no_more(
    services: Services, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "KEY_PAIRS_MAX", 1)
    create(services, principal, "first", key_type="ed25519")
    refused("KeyPairLimitExceeded", create, services, principal, "second", key_type="ed25519")
    (kept,) = described(services, principal, include_public_key=True)
    refused("KeyPairLimitExceeded", bring, services, principal, str(kept.public_key).encode())


def test_a_windows_image_takes_no_ed25519_key(services: Services, principal: Principal) -> None:
    create(services, principal, "small", key_type="ed25519")
    create(services, principal, "classic")
    windows = make_image(services, principal, platform="windows")
    with pytest.raises(Refusal) as caught:
        run_one(services, principal, windows, key_name="small")
    assert (caught.value.code, caught.value.message) == (
        "Unsupported",
        "ED25519 key pairs are not supported with Windows AMIs. Choose a different key pair type and try again.",
    )
    assert run_one(services, principal, windows, key_name="classic")
    assert run_one(services, principal, make_image(services, principal), key_name="small")


def test_ids_are_checked_for_their_form_and_deleted_by_them(services: Services, principal: Principal) -> None:
    made = create(services, principal, key_type="ed25519")
    refused("InvalidParameterValue", described, services, principal, key_pair_ids=["key-x"])
    refused("InvalidParameterValue", delete, services, principal, key_pair_id="key-x")
    refused("InvalidKeyPair.NotFound", delete, services, principal, key_pair_id="key-0123456789abcdef0")
    assert delete(services, principal, key_pair_id=made.key_pair_id).key_pair_id == made.key_pair_id
    assert described(services, principal) == []
