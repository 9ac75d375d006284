"""The certificates of identity documents, on the command line."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, rsa

from amiable.cli.main import main
from tests.server.edge import Edge


def test_each_certificate_is_printed_and_was_issued_by_the_installations_ca(
    edge: Edge, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(*words: str) -> x509.Certificate:
        assert main(["instance-identity", "certificate", *words]) == 0
        return x509.load_pem_x509_certificate(capsys.readouterr().out.encode())

    ca = printed("--kind", "ca")
    for words, kind in (((), rsa.RSAPublicKey), (("--kind", "dsa"), dsa.DSAPublicKey)):
        found = printed(*words)
        assert isinstance(found.public_key(), kind) and found == printed(*words), "it stays the same"
        found.verify_directly_issued_by(ca)
