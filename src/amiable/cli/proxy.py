"""``amiable proxy``: SOCKS5 on loopback over the tunnels, for tools that want to dial a guest by its private address."""

from typing import Annotated

from cyclopts import Parameter

from amiable.cli.client import client
from amiable.cli.output import say


def proxy(
    *, listen: Annotated[str, Parameter(help="Loopback address and port; port 0 takes a free one.")] = "127.0.0.1:1080"
) -> None:
    """Serves SOCKS5 until Ctrl-C.  Dial an instance by its id or private address, on any port that the guest serves."""
    from amiable.cli import socks
    from amiable.cli.tunnel import dial

    ec2 = client("ec2")

    def find(host: str) -> str | None:
        name = "instance-id" if host.startswith("i-") else "private-ip-address"
        filters = [{"Name": name, "Values": [host]}, {"Name": "instance-state-name", "Values": ["running"]}]
        found = ec2.describe_instances(Filters=filters)["Reservations"]
        return str(found[0]["Instances"][0]["InstanceId"]) if found else None

    with socks.bind(listen) as listener:
        host, port = listener.getsockname()[:2]
        print(f"{host}:{port}", flush=True)
        say(f"SOCKS5 until Ctrl-C; for instance: curl --proxy socks5h://{host}:{port} http://i-0123456789abcdef0/")
        socks.serve(listener, find=find, open_tunnel=dial)
