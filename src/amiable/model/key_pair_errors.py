"""What EC2 refuses of key pairs.  Source: EC2 API error codes."""

from amiable.model.errors import Refusal


class KeyPairLimitExceeded(Refusal):
    code = "KeyPairLimitExceeded"
    template = "You have reached the limit on the number of key pairs in this region: {pairs_max}."
    hint = "delete key pairs that nothing is launched with any more"


class KeyPairUnsupported(Refusal):
    code = "Unsupported"
    template = "ED25519 key pairs are not supported with Windows AMIs. Choose a different key pair type and try again."


class InvalidKeyPairDuplicate(Refusal):
    code = "InvalidKeyPair.Duplicate"
    template = "The keypair '{name}' already exists."


class InvalidKeyFormat(Refusal):
    code = "InvalidKey.Format"
    template = "Key is not in valid OpenSSH public key format"
