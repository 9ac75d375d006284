"""The classic way to make and open a bundle, by GNU tar, gzip, openssl and split: nothing of Amiable's is used here.

It stands in for the tools of the era: a manifest as they wrote it, a signature and wrapped keys by ``openssl``, and a reader that
trusts nothing but the format's description.
"""

import hashlib
import re
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

PART_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True)
class Pair:
    """Files of one certificate and its key, PEM."""

    certificate: Path
    key: Path


def bundle(
    image: Path, folder: Path, *, user: Pair, cloud: Path, name: str | None = None, part_bytes: int = PART_BYTES
) -> Path:
    """The manifest of a bundle of ``image`` in ``folder``, made by the pipeline of 2008."""
    name = name or image.name
    key, iv = secrets.token_hex(16), secrets.token_hex(16)
    script = """
        set -euo pipefail
        tar -c -h -S --owner 0 --group 0 -C "$1" "$2" | tee >(openssl sha1 -r | cut -c -40 > "$3/.digest") \\
          | gzip -1 | openssl enc -e -aes-128-cbc -K $4 -iv $5 | split -b $6 -d -a 4 - "$3/.piece."
        while [ ! -s "$3/.digest" ]; do sleep 0.1; done
    """
    arguments = [str(image.parent), image.name, str(folder), key, iv, str(part_bytes)]
    subprocess.run(["bash", "-c", script, "bundle", *arguments], check=True)
    parts = []
    pieces = sorted(folder.glob(".piece.*"))
    for index, piece in enumerate(pieces):
        part = folder / f"{name}.part.{index:0{len(str(len(pieces)))}d}"
        piece.rename(part)
        sha1 = hashlib.sha1(part.read_bytes()).hexdigest()
        parts.append(
            f"<part index='{index}'><filename>{escape(part.name)}</filename><digest algorithm='SHA1'>{sha1}</digest></part>"
        )
    digest = (folder / ".digest").read_text().strip()
    (folder / ".digest").unlink()
    wrapped = {
        f"{whose}_encrypted_{what}": wrap(secret, certificate)
        for whose, certificate in (("ec2", cloud), ("user", user.certificate))
        for what, secret in (("key", key), ("iv", iv))
    }
    bundled = sum((folder / path).stat().st_size for path in folder.glob("*.part.*"))
    cipher = " algorithm='AES-128-CBC'"
    keys = "".join(
        f"<{tag}{cipher if tag.endswith('key') else ''}>{wrapped[tag]}</{tag}>"
        for tag in ("ec2_encrypted_key", "user_encrypted_key", "ec2_encrypted_iv", "user_encrypted_iv")
    )
    signed = (
        "<machine_configuration><architecture>x86_64</architecture></machine_configuration>"
        f"<image><name>{escape(name)}</name><user>123456789012</user><type>machine</type>"
        f"<digest algorithm='SHA1'>{digest}</digest><size>{image.stat().st_size}</size>"
        f"<bundled_size>{bundled}</bundled_size>{keys}<parts count='{len(parts)}'>{''.join(parts)}</parts></image>"
    )
    signature = openssl("dgst", "-sha1", "-sign", str(user.key), given=signed.encode()).hex()
    manifest = folder / f"{name}.manifest.xml"
    manifest.write_text(
        "<?xml version='1.0'?><manifest><version>2007-10-10</version><bundler><name>classic</name><version>1</version>"
        f"<release>0</release></bundler>{signed}<signature>{signature}</signature></manifest>"
    )
    return manifest


def unbundle(manifest: Path, destination: Path, *, key: Path, certificate: Path) -> Path:
    """The image of the bundle at ``manifest``, unpacked into the folder ``destination``; asserts all that can be checked."""
    text = manifest.read_text("ascii")
    signed = cut("machine_configuration", text) + cut("image", text)
    check_signature(signed.encode(), bytes.fromhex(only("signature", text)), certificate)
    image = cut("image", text)
    secret, iv = (unwrap(only(f"user_encrypted_{what}", image), key) for what in ("key", "iv"))
    found = re.findall(r"<part index='(\d+)'><filename>(.*?)</filename><digest algorithm='SHA1'>(\w+)</digest>", image)
    assert [int(index) for index, _, _ in found] == list(range(int(re.findall(r"<parts count='(\d+)'>", image)[0])))
    parts = [manifest.parent / filename for _, filename, _ in found]
    for part, (_, _, sha1) in zip(parts, found, strict=True):
        assert hashlib.sha1(part.read_bytes()).hexdigest() == sha1, part.name
    assert sum(part.stat().st_size for part in parts) == int(only("bundled_size", image))
    script = """
        set -euo pipefail
        folder=$1 secret=$2 iv=$3; shift 3
        cat "$@" | openssl enc -d -aes-128-cbc -K $secret -iv $iv | gunzip | tee >(openssl sha1 -r | cut -c -40 > "$folder/.digest") \\
          | tar -x -S -C "$folder"
        while [ ! -s "$folder/.digest" ]; do sleep 0.1; done
    """
    subprocess.run(["bash", "-c", script, "unbundle", str(destination), secret, iv, *map(str, parts)], check=True)
    digest = (destination / ".digest").read_text().strip()
    (destination / ".digest").unlink()
    assert digest == only("digest", image.split("<parts")[0])
    (unpacked,) = destination.iterdir()
    assert unpacked.stat().st_size == int(only("size", image))
    return unpacked


def gzip_stream(manifest: Path, key: Path, out: Path) -> None:
    """The decrypted gzip stream of a bundle, in the file ``out``."""
    image = cut("image", manifest.read_text("ascii"))
    secret, iv = (unwrap(only(f"user_encrypted_{what}", image), key) for what in ("key", "iv"))
    parts = [manifest.parent / name for name in re.findall(r"<filename>(.*?)</filename>", image)]
    cipher_text = b"".join(part.read_bytes() for part in parts)
    out.write_bytes(openssl("enc", "-d", "-aes-128-cbc", "-K", secret, "-iv", iv, given=cipher_text))


def wrap(secret: str, certificate: Path) -> str:
    """``secret`` encrypted for the key of ``certificate``, in hex."""
    return openssl(
        "pkeyutl",
        "-encrypt",
        "-certin",
        "-inkey",
        str(certificate),
        "-pkeyopt",
        "rsa_padding_mode:pkcs1",
        given=secret.encode(),
    ).hex()


def unwrap(wrapped: str, key: Path) -> str:
    """What :func:`wrap` hid: 32 hex digits."""
    plain = openssl(
        "pkeyutl", "-decrypt", "-inkey", str(key), "-pkeyopt", "rsa_padding_mode:pkcs1", given=bytes.fromhex(wrapped)
    ).decode()
    assert re.fullmatch("[0-9a-f]{32}", plain)
    return plain


def check_signature(text: bytes, signature: bytes, certificate: Path) -> None:
    """Asserts SHA1withRSA of ``text`` by the key of ``certificate``."""
    public = openssl("x509", "-in", str(certificate), "-pubkey", "-noout")
    recovered = openssl(
        "pkeyutl",
        "-verifyrecover",
        "-pubin",
        "-inkey",
        "/dev/fd/3",
        "-pkeyopt",
        "rsa_padding_mode:pkcs1",
        given=signature,
        third=public,
    )
    assert recovered == bytes.fromhex("3021300906052b0e03021a05000414") + hashlib.sha1(text).digest()


def openssl(*arguments: str, given: bytes = b"", third: bytes | None = None) -> bytes:
    """What ``openssl`` answers; ``third`` is what it may read at descriptor 3."""
    command = ["openssl", *arguments]
    if third is not None:
        command = ["bash", "-c", 'exec 3<<<"$0"; exec "$@"', third.decode(), *command]
    return subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True).stdout


def cut(tag: str, text: str) -> str:
    """``text`` from the first opening ``tag`` to the first closing one, both included."""
    return text[text.index(f"<{tag}>") : text.index(f"</{tag}>") + len(tag) + 3]


def only(tag: str, text: str) -> str:
    """What stands in the only ``tag`` of ``text`` (attributes aside)."""
    (found,) = re.findall(rf"<{tag}(?: [^>]*)?>([^<]*)</", text)
    return str(found)


def escape(text: str) -> str:
    """``text`` as character data."""
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&apos;")):
        text = text.replace(character, entity)
    return text
