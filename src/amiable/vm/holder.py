"""The network holder of one instance: it owns the instance's network namespace and little else.

Run as ``python -S -m amiable.vm.holder JSON`` in a session of its own, with the instance's directory as descriptor 3 and a pipe for
its first word as descriptor 4; standard library only.  It makes the namespace (by an ordinary user inside a user namespace), sets
``lo`` up with 169.254.169.254, listens there on port 80, drops its rights, and stays.  Started again after its death, it enters the
namespace that QEMU still holds, and takes the listening socket over from a server that has it.  QEMU is started inside the namespace, and its
user network reaches nothing but this ``lo``: the namespace is the guest's identity.

``holder.sock`` (SOCK_SEQPACKET, JSON, one message a packet) serves whoever has the server's uid:

    {"get": "metadata"}              →  {"ok": true} with the listening socket
    {"get": "connection", "port": P} →  {"ok": true} with a socket connected to 127.0.0.1:P in the namespace
    {"get": "namespaces"}            →  {"ok": true} with the namespaces to enter, outermost first
    anything that fails              →  {"ok": false, "error": words}

The server accepts on the listening socket itself.  While no server lives, the kernel completes a guest's connections and keeps what
it sends: its request is answered late, and none is lost between two processes.
"""

import fcntl
import json
import os
import selectors
import signal
import socket
import struct
import sys
from typing import Any

from amiable.vm import launcher

METADATA = ("169.254.169.254", 80)
QUEUE_MAX = 128
CONNECT_SECONDS_MAX = 5
CLIENTS_MAX = 8
PACKET_BYTES_MAX = 4096
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8913, 0x8914, 0x8916, 0x891C
IFF_UP = 1


def enter_namespace(uid: int, existing: list[int]) -> list[int]:
    """A network namespace of our own: as root at once, otherwise inside a user namespace where we stay who we are.

    ``existing`` namespaces are entered instead.  Returns descriptors of what we are in, outermost first.
    """
    if existing:
        for descriptor in existing:
            launcher.libc_call("setns", descriptor, 0)
        return existing
    launcher.leave_network()
    return [os.open(f"/proc/self/ns/{name}", os.O_RDONLY) for name in (("net",) if uid == 0 else ("user", "net"))]


def raise_loopback() -> None:
    """``lo`` up, with the metadata address on an alias."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
        for call, address in ((SIOCSIFADDR, METADATA[0]), (SIOCSIFNETMASK, "255.255.255.255")):
            fcntl.ioctl(control, call, struct.pack("16sHH4s8x", b"lo:0", socket.AF_INET, 0, socket.inet_aton(address)))


def listen() -> socket.socket:
    """A socket that listens on the metadata address."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(METADATA)
    listener.listen(QUEUE_MAX)
    return listener


def answer(packet: bytes, listener: socket.socket, namespaces: list[int]) -> tuple[dict[str, Any], list[int]]:
    """The reply to one request, and the descriptors to send with it."""
    try:
        request = json.loads(packet)
        if request["get"] == "metadata":
            return {"ok": True}, [listener.fileno()]
        if request["get"] == "namespaces":
            return {"ok": True}, namespaces
        if request["get"] == "connection":
            # not create_connection: it loads a codec, and after the rights were dropped Python's library may be out of reach
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
                connection.settimeout(CONNECT_SECONDS_MAX)
                connection.connect(("127.0.0.1", int(request["port"])))
                connection.settimeout(None)
                return {"ok": True}, [os.dup(connection.fileno())]
        return {"ok": False, "error": "unknown request"}, []
    except (OSError, OverflowError, ValueError, KeyError, TypeError) as error:
        return {"ok": False, "error": str(error)}, []


def reply(client: socket.socket, listener: socket.socket, namespaces: list[int]) -> bool:
    """Answers one packet; False when the client is gone."""
    try:
        packet = client.recv(PACKET_BYTES_MAX)
        if not packet:
            return False
        body, passed = answer(packet, listener, namespaces)
        try:
            socket.send_fds(client, [json.dumps(body).encode()], passed)
        finally:
            for descriptor in passed:
                if descriptor != listener.fileno() and descriptor not in namespaces:
                    os.close(descriptor)
    except OSError:
        return False
    return True


def is_allowed(client: socket.socket, uid: int) -> bool:
    """Whether the peer has the server's uid (in our user namespace it is mapped to itself)."""
    peer = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[1]
    return bool(peer == uid)


def serve(control: socket.socket, listener: socket.socket, namespaces: list[int], uid: int) -> None:
    """Answers for ever."""
    waiting = selectors.DefaultSelector()
    waiting.register(control, selectors.EVENT_READ)
    clients = 0
    while True:
        for key, _ in waiting.select():
            peer = key.fileobj
            assert isinstance(peer, socket.socket)
            if peer is control:
                client, _address = control.accept()
                if clients >= CLIENTS_MAX or not is_allowed(client, uid):
                    client.close()
                    continue
                waiting.register(client, selectors.EVENT_READ)
                clients += 1
            elif not reply(peer, listener, namespaces):
                waiting.unregister(peer)
                peer.close()
                clients -= 1


def main(text: str) -> None:
    """Makes the namespace, says ``ready`` on descriptor 4, serves.

    Keys: record, facts, uid (None: stay), namespaces (descriptors of those to enter; none: new ones), listener (a descriptor, or None).
    """
    what = json.loads(text)
    server_uid = os.getuid()
    given: list[int] = [*what["namespaces"], *([] if what["listener"] is None else [what["listener"]])]
    launcher.close_all_but({0, 1, 2, launcher.DIRECTORY, launcher.READY, *given})
    os.fchdir(launcher.DIRECTORY)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    launcher.write_record(what["record"], what["facts"])
    namespaces = enter_namespace(server_uid, what["namespaces"])
    raise_loopback()
    listener = socket.socket(fileno=what["listener"]) if what["listener"] is not None else listen()
    launcher.drop_rights(what["uid"], [])
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.path.lexists("holder.sock"):
        os.unlink("holder.sock")  # noqa: PTH108 - pathlib is not loaded here
    os.umask(0o077)
    control.bind("holder.sock")
    control.listen(CLIENTS_MAX)
    os.close(launcher.DIRECTORY)  # and its lock: who hears that we are ready may let another have it
    launcher.say_ready()
    serve(control, listener, namespaces, server_uid)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except OSError as failure:
        launcher.say_failure(failure)
        sys.exit(1)
