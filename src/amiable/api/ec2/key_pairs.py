"""CreateKeyPair, ImportKeyPair, DescribeKeyPairs and DeleteKeyPair.

A private key that is made here leaves with the answer and is kept nowhere.  Instances keep the public key they were launched
with, so deleting a key pair changes no guest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.tags import birth_tags, parse_filters, tag_set
from amiable.database import key_pairs, tags
from amiable.model import ids
from amiable.model.errors import InvalidParameterValue, MissingParameter, NotFound
from amiable.model.key_pair import KeyPair
from amiable.model.key_pair_errors import InvalidKeyPairDuplicate, KeyPairLimitExceeded
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.identifiers import check_form
from amiable.rules.policy_resources import Home
from amiable.rules.ppk import PrivateKey, ppk_of
from amiable.rules.public_key import created_rsa_fingerprint, imported_fingerprint, openssh_line, read_public_key
from amiable.services import Services
from amiable.services.authorization import check_allowed
from amiable.wire.generated import ec2

NAME_LENGTH_MAX: Final = 255
RSA_BITS: Final = 2048
KEY_PAIRS_MAX: Final = 5000
"""Of an account in a region.  Source: EC2 User Guide, "Amazon EC2 key pairs", quotas."""
TAGGABLE: Final = ("key-pair",)


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A fresh key: the private half as text, the public line, the fingerprint."""

    private_text: str
    public_line: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class View:
    """A key pair and the caller's tags of it."""

    pair: KeyPair
    tags: Mapping[str, str]


FIELDS: Final[Mapping[str, filters.Field[View]]] = {
    "fingerprint": lambda view: (view.pair.fingerprint,),
    "key-name": lambda view: (view.pair.name,),
    "key-pair-id": lambda view: (view.pair.id,),
}


def create_key_pair(services: Services, principal: Principal, request: ec2.CreateKeyPairRequest) -> ec2.KeyPair:
    """Makes a key pair; the answer alone has the private key."""
    key_type = request.key_type or "rsa"
    if key_type not in ("rsa", "ed25519"):
        raise InvalidParameterValue(parameter="KeyType", value=key_type, why="Allowed: ed25519, rsa.")
    key_format = request.key_format or "pem"
    if key_format not in ("pem", "ppk"):
        raise InvalidParameterValue(parameter="KeyFormat", value=key_format, why="Allowed: pem, ppk.")
    born = birth_tags(request.tag_specifications, TAGGABLE).get("key-pair", {})
    _check_name(request.key_name)
    with services.database.read() as c:
        _check_room(c, principal, request.key_name)
    raise_if_dry_run(request)
    made = (make_rsa if key_type == "rsa" else make_ed25519)(request.key_name, key_format)
    with services.database.write_and_answer() as c:
        _check_room(c, principal, request.key_name)
        pair = KeyPair(
            id=services.mint(ids.KEY_PAIR),
            account_id=principal.account_id,
            region=principal.region,
            name=request.key_name,
            key_type=key_type,
            fingerprint=made.fingerprint,
            public_key=made.public_line,
            created_at=services.now(),
        )
        _insert(c, pair, born)
    return ec2.KeyPair(
        key_pair_id=pair.id,
        key_name=pair.name,
        key_fingerprint=pair.fingerprint,
        key_material=made.private_text,
        tags=tag_set(born),
    )


def make_rsa(name: str, key_format: str = "pem") -> MadeKey:
    """RSA with 2048 bits; the private half in PKCS#1, as EC2 gives it, or as PuTTY's file."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    text = _text_of(key, name, key_format, PrivateFormat.TraditionalOpenSSL)
    return MadeKey(text, openssh_line(key.public_key(), name), created_rsa_fingerprint(der))


def make_ed25519(name: str, key_format: str = "pem") -> MadeKey:
    """ED25519; the private half in OpenSSH's own form, as EC2 gives it, or as PuTTY's file."""
    key = ed25519.Ed25519PrivateKey.generate()
    text = _text_of(key, name, key_format, PrivateFormat.OpenSSH)
    return MadeKey(text, openssh_line(key.public_key(), name), imported_fingerprint(key.public_key()))


def _text_of(key: PrivateKey, name: str, key_format: str, pem: PrivateFormat) -> str:
    if key_format == "ppk":
        return ppk_of(key, name)
    return key.private_bytes(Encoding.PEM, pem, NoEncryption()).decode()


def import_key_pair(
    services: Services, principal: Principal, request: ec2.ImportKeyPairRequest
) -> ec2.ImportKeyPairResult:
    """Keeps a public key under a name."""
    born = birth_tags(request.tag_specifications, TAGGABLE).get("key-pair", {})
    _check_name(request.key_name)
    read = read_public_key(request.public_key_material)
    with services.database.write_and_answer() as c:
        _check_room(c, principal, request.key_name)
        raise_if_dry_run(request)
        pair = KeyPair(
            id=services.mint(ids.KEY_PAIR),
            account_id=principal.account_id,
            region=principal.region,
            name=request.key_name,
            key_type=read.key_type,
            fingerprint=imported_fingerprint(read.key),
            public_key=read.line,
            created_at=services.now(),
        )
        _insert(c, pair, born)
    return ec2.ImportKeyPairResult(
        key_pair_id=pair.id, key_name=pair.name, key_fingerprint=pair.fingerprint, tags=tag_set(born)
    )


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= NAME_LENGTH_MAX or not name.isascii() or not name.isprintable() or name != name.strip():
        raise InvalidParameterValue(
            parameter="KeyName",
            value=name[:40],
            why=f"It has 1 to {NAME_LENGTH_MAX} printable ASCII characters, without spaces at its ends.",
        )


def _check_room(c: Connection, principal: Principal, name: str) -> None:
    """Refuses a name that is taken, and one pair more than an account may have."""
    if key_pairs.find_key_pair(c, principal.account_id, principal.region, name) is not None:
        raise InvalidKeyPairDuplicate(name=name)
    if key_pairs.count_key_pairs(c, principal.account_id, principal.region) >= KEY_PAIRS_MAX:
        raise KeyPairLimitExceeded(pairs_max=KEY_PAIRS_MAX)


def _insert(c: Connection, pair: KeyPair, born: Mapping[str, str]) -> None:
    key_pairs.insert_key_pair(c, pair)
    tags.put(c, tags.TaggedResource(pair.account_id, pair.region, pair.id, "key-pair"), born)


def describe_key_pairs(
    services: Services, principal: Principal, request: ec2.DescribeKeyPairsRequest
) -> ec2.DescribeKeyPairsResult:
    """The caller's key pairs by name; every name and id that is asked for must be there."""
    check_form("key_pair", ids.KEY_PAIR, request.key_pair_ids)
    wanted = filters.predicate(parse_filters(request.filters), FIELDS, tags=lambda view: view.tags)
    raise_if_dry_run(request)
    with services.database.read() as c:
        mine = key_pairs.list_key_pairs(c, principal.account_id, principal.region)
        tagged = tags.tags_of(c, principal.account_id, [pair.id for pair in mine])
    for named, there in (
        (request.key_names, {pair.name for pair in mine}),
        (request.key_pair_ids, {pair.id for pair in mine}),
    ):
        missing = [each for each in dict.fromkeys(named or []) if each not in there]
        if missing:
            raise NotFound("key_pair", missing)
    asked = set(request.key_names or []) | set(request.key_pair_ids or [])
    shown = [View(pair, tagged.get(pair.id, {})) for pair in mine if not asked or asked & {pair.name, pair.id}]
    with_key = bool(request.include_public_key)
    return ec2.DescribeKeyPairsResult(key_pairs=[_info(view, with_key) for view in shown if wanted(view)])


def _info(view: View, with_key: bool) -> ec2.KeyPairInfo:
    pair = view.pair
    return ec2.KeyPairInfo(
        key_pair_id=pair.id,
        key_type=pair.key_type,
        key_name=pair.name,
        key_fingerprint=pair.fingerprint,
        create_time=pair.created_at,
        public_key=pair.public_key if with_key else None,
        tags=tag_set(view.tags),
    )


def delete_key_pair(
    services: Services, principal: Principal, request: ec2.DeleteKeyPairRequest
) -> ec2.DeleteKeyPairResult:
    """Deletes by name or id; a name that is not there is no error, an id that is not there is."""
    if not request.key_name and not request.key_pair_id:
        raise MissingParameter(parameter="KeyName")
    check_form("key_pair", ids.KEY_PAIR, [request.key_pair_id] if request.key_pair_id else None)
    with services.database.write_and_answer() as c:
        mine = key_pairs.list_key_pairs(c, principal.account_id, principal.region)
        found = [
            pair
            for pair in mine
            if (request.key_pair_id or pair.id) == pair.id and (request.key_name or pair.name) == pair.name
        ]
        if request.key_pair_id and not found:
            raise NotFound("key_pair", [request.key_pair_id])
        home = Home(principal.account_id, principal.region)  # policies say its name, whichever the request says
        check_allowed(principal, "ec2:DeleteKeyPair", [home.ec2("key-pair", pair.name) for pair in found])
        raise_if_dry_run(request)
        for pair in found:
            key_pairs.delete_key_pair(c, pair.id)
            tags.forget(c, pair.id)
    return ec2.DeleteKeyPairResult(return_=True, key_pair_id=found[0].id if found else None)
