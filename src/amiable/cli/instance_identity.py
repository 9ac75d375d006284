"""``amiable instance-identity``: what an instance's identity document is verified by."""

from typing import Annotated, Final, Literal

from cyclopts import App, Parameter

from amiable.cli.client import call
from amiable.cli.output import say

app = App(name="instance-identity", help="What instances' identity documents are verified by.")

MEMBERS: Final = {"rsa": "RsaCertificate", "dsa": "DsaCertificate", "ca": "CaCertificate"}


@app.command
def certificate(
    *,
    kind: Annotated[
        Literal["rsa", "dsa", "ca"],
        Parameter(help="rsa (signature, rsa2048), dsa (pkcs7, dsa2048), or ca, which issued both."),
    ] = "rsa",
) -> None:
    """Prints the certificate in PEM.

    An instance reads its document and signatures below http://169.254.169.254/latest/dynamic/instance-identity/.
    """
    print(call("GET", "/instance-identity")[MEMBERS[kind]], end="")
    if kind != "ca":
        say("verify, with the lines BEGIN PKCS7 and END PKCS7 put around what the instance sent:")
        say("  openssl cms -verify -inform PEM -in rsa2048 -certfile certificate.pem -noverify")
