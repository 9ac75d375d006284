"""The network agent of one VPC on this host: it owns the VPC's fabric, a network namespace with a tap for each guest's interface.

Run as ``python -S -m amiable.vm.fabric_agent JSON`` in a session of its own, with the VPC's directory as descriptor 3 and a pipe for
its first word as descriptor 4; standard library only.  Taps are passed to whoever starts QEMU, so QEMU runs outside.  The agent
answers DHCP; the server accepts metadata connections itself, on sockets that the agent made, and connects sockets of the agent's to
guests.  Nothing passes before rules were given.  Traffic goes through the kernel, not through here: while no agent lives, guests
that run notice nothing, and one that is started again enters the namespace that their taps keep (``vm/fabric``).

With its last tap it ends, and the namespace with it, unless the server holds the directory's lock: then one is about to be made.

``agent.sock`` (SOCK_SEQPACKET, JSON, one message a packet) serves whoever has the server's uid:

    {"do": "state"}                    →  {"ok": true, "taps": [names served], "rules": digest of what is enforced,
                                           "host": whether the way from the host is there}
    {"do": "rules"} with a memfd       →  {"ok": true}; the text is enforced
    {"do": "add", "link": LINK}        →  {"ok": true} with a new tap
    {"do": "keep", "link": LINK}       →  {"ok": true}; a tap that there is is served; with its metadata socket where the server has it
    {"do": "metadata", "tap": T}       →  {"ok": true} with the listening socket
    {"do": "way", "tap": T}            →  {"ok": true} with a TCP socket that reaches the guest, not connected
    {"do": "host", "addresses": [A]}   →  {"ok": true}; what comes from the host is taken
    anything that fails                →  {"ok": false, "error": words}
"""

import contextlib
import fcntl
import hashlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from typing import Any

from amiable.model.link import Lease, Link
from amiable.rules import dhcp
from amiable.vm import launcher, links
from amiable.vm.holder import is_allowed
from amiable.vm.log_line import failure_lines

NAME = "amiable.fabric_agent"
SOCKET = "agent.sock"
CLIENTS_MAX = 16
PACKET_BYTES_MAX = 64 * 1024
"""A state names every tap: some thousands have room."""
RULES_BYTES_MAX = 16 << 20
DESCRIPTORS_MAX = 2
LOOK_SECONDS = 5.0
RTMGRP_LINK = 1
NEWS_BYTES_MAX = 65536

DHCP_BURST = 20
DHCP_PER_SECOND = 5.0


class Served:
    """One tap with its sockets, and how many DHCP packets its guest may send now; ``asleep`` until it may again."""

    def __init__(self, link: Link, asked: socket.socket, metadata: socket.socket) -> None:
        self.link = link
        self.dhcp = asked
        self.metadata = metadata
        self.places: float = DHCP_BURST
        self.counted_at = time.monotonic()
        self.asleep = False
        self.lease = Lease(uptime())


def uptime() -> float:
    """Seconds since the host's boot, on the clock of process start times."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Agent:
    """:meth:`serve` returns when the fabric has no tap left."""

    def __init__(self, control: socket.socket, uid: int) -> None:
        self._control = control
        self._uid = uid
        self._served: dict[str, Served] = {}
        self._rules = ""
        self._clients = 0
        self._waiting = selectors.DefaultSelector()
        self._news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self._news.bind((0, RTMGRP_LINK))
        self._waiting.register(control, selectors.EVENT_READ, self._accept)
        self._waiting.register(self._news, selectors.EVENT_READ, self._look)

    def serve(self) -> None:
        """Answers until nothing is left to serve."""
        while not self._is_over():
            for key, _ in self._waiting.select(0.2 if self._wake() else LOOK_SECONDS):
                if isinstance(key.data, Served):
                    if key.data in self._served.values():  # else it went with what was done just before
                        self._answer_dhcp(key.data)
                else:
                    key.data(key.fileobj)

    def _is_over(self) -> bool:
        """Whether there is no tap, and nobody who holds the lock to make one."""
        if self._served or links.taps():
            return False
        lock = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        return True  # the lock is held to the end

    def _accept(self, control: socket.socket) -> None:
        client, _address = control.accept()
        if self._clients >= CLIENTS_MAX or not is_allowed(client, self._uid):
            client.close()
            return
        self._clients += 1
        self._waiting.register(client, selectors.EVENT_READ, self._reply)

    def _reply(self, client: socket.socket) -> None:
        given: list[int] = []
        try:
            packet, given, _flags, _address = socket.recv_fds(
                client, PACKET_BYTES_MAX, DESCRIPTORS_MAX, socket.MSG_CMSG_CLOEXEC
            )
            if not packet:
                raise ConnectionResetError
            body, passed = self._do(packet, given)
            try:
                socket.send_fds(client, [json.dumps(body).encode()], passed)
            finally:
                for descriptor in passed:
                    os.close(descriptor)
        except OSError:
            self._waiting.unregister(client)
            client.close()
            self._clients -= 1
        finally:
            for descriptor in given:
                os.close(descriptor)

    def _do(self, packet: bytes, given: list[int]) -> tuple[dict[str, Any], list[int]]:
        try:
            request = json.loads(packet)
            match request["do"]:
                case "state":
                    facts = {"taps": sorted(self._served), "rules": self._rules, "host": links.has_host_link()}
                    return {"ok": True, **facts}, []
                case "rules":
                    return self._enforce(given[0])
                case "add":
                    return self._add(Link(**request["link"]))
                case "keep":
                    return self._keep(Link(**request["link"]), given)
                case "metadata":
                    return {"ok": True}, [os.dup(self._served[request["tap"]].metadata.fileno())]
                case "lease":
                    return {"ok": True, **self._served[request["tap"]].lease._asdict()}, []
                case "way":
                    return {"ok": True}, [links.open_way(self._served[request["tap"]].link.tap).detach()]
                case "host":
                    links.raise_host_link([str(each) for each in request["addresses"]])
                    return {"ok": True}, []
            return {"ok": False, "error": "unknown request"}, []
        except KeyError as error:
            return {"ok": False, "error": f"there is no {error}"}, []
        except (OSError, ValueError, TypeError, IndexError) as error:
            return {"ok": False, "error": str(error)}, []

    def _enforce(self, given: int) -> tuple[dict[str, Any], list[int]]:
        body = os.pread(given, RULES_BYTES_MAX + 1, 0)
        if len(body) > RULES_BYTES_MAX:
            return {"ok": False, "error": "the rules are too long"}, []
        links.apply_rules(body.decode())
        self._rules = hashlib.sha256(body).hexdigest()
        return {"ok": True}, []

    def _add(self, link: Link) -> tuple[dict[str, Any], list[int]]:
        if not self._rules:
            return {"ok": False, "error": "no rules are enforced yet"}, []
        self._look(self._news)
        tap = links.open_tap(link)
        try:
            self._serve_tap(link, None)
        except OSError:
            os.close(tap)
            raise
        return {"ok": True}, [tap]

    def _keep(self, link: Link, given: list[int]) -> tuple[dict[str, Any], list[int]]:
        if link.tap not in links.taps():
            return {"ok": False, "error": f"there is no {link.tap}"}, []
        if link.tap not in self._served:
            listener = socket.socket(fileno=os.dup(given[0])) if given else None
            self._serve_tap(link, listener)
        return {"ok": True}, []

    def _serve_tap(self, link: Link, listener: socket.socket | None) -> None:
        with contextlib.ExitStack() as undo:
            asked = undo.enter_context(links.open_dhcp(link.tap))
            metadata = undo.enter_context(listener if listener is not None else links.listen_metadata(link.tap))
            served = Served(link, asked, metadata)
            self._waiting.register(asked, selectors.EVENT_READ, served)
            undo.pop_all()
        self._served[link.tap] = served

    def _look(self, news: socket.socket) -> None:
        """Forgets the taps that are gone."""
        with contextlib.suppress(BlockingIOError, OSError):  # ENOBUFS: so many news that some were lost
            while news.recv(NEWS_BYTES_MAX):
                pass
        there = links.taps()
        for name in [known for known in self._served if known not in there]:
            served = self._served.pop(name)
            if not served.asleep:
                self._waiting.unregister(served.dhcp)
            served.dhcp.close()
            served.metadata.close()

    def _answer_dhcp(self, served: Served) -> None:
        """One packet; a guest that sends more than its share is not listened to for a while, and the kernel drops what it sends."""
        now = time.monotonic()
        served.places = min(DHCP_BURST, served.places + (now - served.counted_at) * DHCP_PER_SECOND)
        served.counted_at = now
        if served.places < 1:
            self._waiting.unregister(served.dhcp)
            served.asleep = True
            return
        served.places -= 1
        with contextlib.suppress(OSError):
            packet = served.dhcp.recv(dhcp.PACKET_BYTES_MAX + 1)
            reply = dhcp.answer(packet, served.link)
            if reply is not None:
                served.dhcp.sendto(reply.packet, (reply.address, 68))
                now = uptime()
                served.lease = served.lease._replace(asked_at=now, **({"given_at": now} if reply.is_given else {}))

    def _wake(self) -> bool:
        """Listens again to those that have waited; whether some still wait."""
        now = time.monotonic()
        asleep = [served for served in self._served.values() if served.asleep]
        for served in asleep:
            if (now - served.counted_at) * DHCP_PER_SECOND >= 1:
                served.asleep = False
                self._waiting.register(served.dhcp, selectors.EVENT_READ, served)
        return any(served.asleep for served in asleep)


def main(text: str) -> None:
    """Makes the namespace, says ``ready`` on descriptor 4, serves; keys: record, facts, namespaces (those to enter; none: a new one)."""
    what = json.loads(text)
    launcher.raise_descriptor_limit()
    launcher.close_all_but({0, 1, 2, launcher.DIRECTORY, launcher.READY, *what["namespaces"]})
    os.fchdir(launcher.DIRECTORY)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    launcher.write_record(what["record"], what["facts"])
    links.enter_namespace(what["namespaces"])
    for descriptor in what["namespaces"]:
        os.close(descriptor)
    links.prepare()
    links.keep_network_rights()
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET)  # noqa: PTH108 - pathlib is not loaded here
    os.umask(0o077)
    control.bind(SOCKET)
    control.listen(CLIENTS_MAX)
    agent = Agent(control, os.getuid())
    os.close(launcher.DIRECTORY)  # and its lock: who hears that we are ready may let another have it
    launcher.say_ready()
    agent.serve()
    os.unlink(SOCKET)  # noqa: PTH108 - nor here
    os.unlink(what["record"])  # noqa: PTH108 - nor here


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception as failure:  # noqa: BLE001  the outermost loop
        with contextlib.suppress(OSError):  # a full disk
            os.write(2, failure_lines(NAME, failure, time.time()).encode(errors="backslashreplace"))
        launcher.say_failure(failure)  # who hears that may kill this
        sys.exit(1)
