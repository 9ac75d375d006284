"""``amiable key-pair``: the keys by which people log in to instances; the server keeps public keys alone."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from amiable.cli.chosen import Yes, each_once, end_unless_meant, rehearse_each
from amiable.cli.client import client
from amiable.cli.output import Output, say, show_rows

app = cyclopts.App(name="key-pair", help="Key pairs: create, import, list, delete.")

COLUMNS = {
    "name": "KeyName",
    "id": "KeyPairId",
    "type": "KeyType",
    "fingerprint": "KeyFingerprint",
    "created": "CreateTime",
}
Name = Annotated[str, Parameter(help="Name of the key pair, as amiable launch --key takes it.")]


@app.command
def create(
    name: Name,
    file: Annotated[Path, Parameter(help="New file for the private key (PEM, mode 0600).")],
    /,
    *,
    type_: Annotated[Literal["ed25519", "rsa"], Parameter(name="--type", help="Its kind.")] = "ed25519",
) -> None:
    """Makes a key pair and writes its private key, which is told this once.  Prints the key pair's name."""
    ec2 = client("ec2")
    made: dict[str, Any] = {}
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # first: what cannot be kept is of no use
    with os.fdopen(descriptor, "w") as opened:
        try:
            made = ec2.create_key_pair(KeyName=name, KeyType=type_)
            opened.write(made["KeyMaterial"])
            opened.flush()
        except BaseException:  # Ctrl-C too
            file.unlink()
            if made:
                ec2.delete_key_pair(KeyName=name)
            raise
    print(name)
    say(f"\nnext: amiable launch ami-… --key {name} --wait, then amiable instance ssh i-… -i {file}")


@app.command(name="import")
def import_(
    name: Name, file: Annotated[Path, Parameter(help="Public key, as ssh-keygen writes it (.pub).")], /
) -> None:
    """Takes a public key of yours.  Prints the key pair's name."""
    print(client("ec2").import_key_pair(KeyName=name, PublicKeyMaterial=file.read_bytes())["KeyName"])


@app.command(name="list")
def list_(*, output: Output = "table") -> None:
    """Lists your key pairs."""
    rows = client("ec2").describe_key_pairs()["KeyPairs"]
    show_rows(sorted(rows, key=lambda row: row["KeyName"]), COLUMNS, output, identifier="KeyName")


@app.command
def delete(*name: Name, yes: Yes = False) -> None:
    """Deletes key pairs; what was launched with them keeps the public key.  Prints their names."""
    wanted, ec2 = each_once(name, "key-pair"), client("ec2")
    ec2.describe_key_pairs(KeyNames=wanted)  # DeleteKeyPair answers for one that is not there too
    rehearse_each(ec2.delete_key_pair, "KeyName", wanted, yes=yes)
    end_unless_meant(yes, [f"delete {each}" for each in wanted])
    for each in wanted:
        ec2.delete_key_pair(KeyName=each)
        print(each)
