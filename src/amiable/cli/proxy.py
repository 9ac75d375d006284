"""``amiable proxy``: SOCKS5 on loopback over the tunnels, for tools that want to dial a guest by its private address."""

from typing import Annotated

from cyclopts import Parameter

from amiable.cli.output import say


def proxy(
    *, listen: Annotated[str, Parameter(help="Loopback address and port; port 0 takes a free one.")] = "127.0.0.1:1080"
) -> None:
    """Serves SOCKS5 until Ctrl-C: a name or address of an instance, any port that the guest listens on."""
    from amiable.cli.socks import serve

    serve(
        listen,
        ready=lambda address: say(
            f"SOCKS5 proxy on {address}; for instance: curl --proxy socks5h://{address} http://10.0.0.1/"
        ),
    )
