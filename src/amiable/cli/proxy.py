"""``amiable proxy``: SOCKS5 on loopback over the tunnels, for tools that want to dial a guest by its private address."""

from typing import Annotated

from cyclopts import Parameter

from amiable.cli.client import client, until_ctrl_c
from amiable.cli.output import say
from amiable.model.errors import LocalRefusal


def proxy(
    *, listen: Annotated[str, Parameter(help="Loopback address and port; port 0 takes a free one.")] = "127.0.0.1:1080"
) -> None:
    """Serves SOCKS5 until Ctrl-C.  Dial an instance by its id or private address, on any port that the guest serves."""
    from botocore.exceptions import BotoCoreError, ClientError

    from amiable.cli import socks
    from amiable.cli.tunnel import dial

    def find(host: str) -> str | None:
        name = "instance-id" if host.startswith("i-") else "private-ip-address"
        filters = [{"Name": name, "Values": [host]}, {"Name": "instance-state-name", "Values": ["running"]}]
        try:
            found = ec2.describe_instances(Filters=filters)["Reservations"]
        except (BotoCoreError, ClientError) as error:  # the proxy outlasts the server's restart
            raise LocalRefusal(str(error)) from None
        return str(found[0]["Instances"][0]["InstanceId"]) if found else None

    with socks.bind(listen) as listener, until_ctrl_c():
        ec2 = client("ec2")
        ec2.describe_instances(MaxResults=5)  # what would be refused to every caller is told now
        host, port = listener.getsockname()[:2]
        print(f"{host}:{port}", flush=True)
        say(f"SOCKS5 until Ctrl-C; for instance: curl --proxy socks5h://{host}:{port} http://i-0123456789abcdef0/")
        socks.serve(listener, find=find, open_tunnel=dial)
