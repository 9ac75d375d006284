"""Three network namespaces in a row, as a container behind a bridge sees its host's metadata service: far ─ router ─ near.

Run in a network and mount namespace of its own, as ``python -m tests.server.hop_limit_scene DATA INSTANCE_ID LOST``; prints as JSON what came of
asking for a token and for the instance's id, from ``near`` itself and from ``far``.
"""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

from amiable.server.imds import MetadataService
from tests.support.services import open_services

NEAR, PORT = "10.0.0.1", 8080
WAIT_SECONDS_MAX = 60.0
LOST_SECONDS = 2.0
"""After so long an answer that should be lost is."""
ASK = """
import socket, sys
request = sys.stdin.read()
with socket.create_connection(("{near}", {port}), timeout={wait}) as connection:
    connection.sendall(request.replace("\\n", "\\r\\n").encode())
    connection.settimeout({patience})
    try:
        print(connection.recv(65536).split()[1].decode())
    except TimeoutError:
        print("lost")
"""
REQUESTS = {
    "token": "PUT /latest/api/token HTTP/1.1\nX-aws-ec2-metadata-token-ttl-seconds: 60\nConnection: close\n\n",
    "id": "GET /latest/meta-data/instance-id HTTP/1.1\nConnection: close\n\n",
}
SCENE = """
mount -t tmpfs none /run
ip netns add router
ip netns add far
ip link set lo up
ip link add near type veth peer name inner netns router
ip -n router link add outer type veth peer name eth0 netns far
ip address add 10.0.0.1/24 dev near
ip -n router address add 10.0.0.2/24 dev inner
ip -n router address add 10.0.1.2/24 dev outer
ip -n far address add 10.0.1.1/24 dev eth0
ip link set near up
ip -n router link set inner up
ip -n router link set outer up
ip -n far link set eth0 up
ip route add 10.0.1.0/24 via 10.0.0.2
ip -n far route add default via 10.0.1.2
ip netns exec router sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
"""


def answer(listener: socket.socket, service: MetadataService, instance_id: str) -> None:
    """Serves one connection after another, each to its end."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            service.serve(instance_id, connection)


def ask(*where: str, lost: str = "") -> dict[str, str]:
    """The status of each answer, or ``lost``; the answer to ``lost`` is not waited for long."""
    found = {}
    for name, request in REQUESTS.items():
        patience = LOST_SECONDS if name == lost else WAIT_SECONDS_MAX
        code = ASK.format(near=NEAR, port=PORT, wait=WAIT_SECONDS_MAX, patience=patience)
        words = [*where, sys.executable, "-S", "-c", code]
        told = subprocess.run(
            words, input=request, capture_output=True, text=True, check=True, timeout=3 * WAIT_SECONDS_MAX
        )
        found[name] = told.stdout.strip()
    return found


def main(data: str, instance_id: str, lost: str) -> None:
    """Builds the scene and asks; ``lost`` is the request from afar whose answer should not come, if any."""
    subprocess.run(["sh", "-e", "-c", SCENE], check=True, capture_output=True, timeout=WAIT_SECONDS_MAX)
    with open_services(Path(data)) as services, socket.create_server((NEAR, PORT)) as listener:
        thread = threading.Thread(target=answer, args=(listener, MetadataService(services), instance_id), daemon=True)
        thread.start()
        print(json.dumps({"near": ask(), "far": ask("ip", "netns", "exec", "far", lost=lost)}))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(30)


if __name__ == "__main__":
    main(*sys.argv[1:])
