"""The server's side of *routed* mode: one network agent (``vm/fabric_agent``) for each VPC that has a guest on this host.

    networks/<vpc>/   0700, the server's user     agent.json   record    agent.sock   its requests
                                                   log   its words      routes   the host's (``vm/host_route``)

A VPC is a network namespace of its own, so VPCs whose addresses overlap (every account's default one is 172.31.0.0/16) never meet.
What keeps a fabric is its taps' descriptors, which the QEMUs hold: an agent that died is started again inside the namespace that
the tap of any of them leads to, and with the last QEMU the kernel removes all there is of it.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from amiable.model.link import Lease, Link
from amiable.model.units import KIB
from amiable.rules.firewall import CLOSED, ruleset
from amiable.rules.qemu_command import TAP_DESCRIPTOR
from amiable.vm import network, process
from amiable.vm.directory import Directory, DirectoryBusy, locked
from amiable.vm.fabric_agent import PACKET_BYTES_MAX, SOCKET
from amiable.vm.launcher import is_readable
from amiable.vm.network import NetworkFailed
from amiable.vm.process import Process

RECORD: Final = "agent.json"
LOG: Final = "log"
LOG_BYTES_MAX: Final = 64 * KIB
LOCK_SECONDS_MAX: Final = 2.0
"""Another start may be making the same fabric."""
READY_SECONDS_MAX: Final = 20.0
ANSWER_SECONDS_MAX: Final = 30.0
CONNECT_SECONDS_MAX: Final = 5.0
FOLDER: Final = "networks"

_PIDFD_GETFD: Final = 438
_TUNGETDEVNETNS: Final = 0x54E3
_NS_GET_USERNS: Final = 0xB701


@contextlib.contextmanager
def open_fabric(data: Path, vpc_id: str, *, make: bool = False) -> Iterator[Directory]:
    """The VPC's directory; raises FileNotFoundError where it is not there and not to be made."""
    path = data / FOLDER / vpc_id
    if make:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield Directory(path, descriptor, None)
    finally:
        os.close(descriptor)


def list_fabrics(data: Path) -> list[str]:
    """The VPCs that there are directories of."""
    return sorted(path.name for path in (data / FOLDER).glob("*") if path.is_dir() and not path.is_symlink())


def remove_fabric(data: Path, vpc_id: str) -> bool:
    """Removes the directory of a VPC that is gone, unless an agent still lives in it; whether it did.  Raises DirectoryBusy."""
    with open_fabric(data, vpc_id) as fabric, locked(fabric, wait_seconds=0):
        if find_agent(fabric) is not None:
            return False
        shutil.rmtree(fabric.path)
        return True


def find_agent(fabric: Directory) -> Process | None:
    """The VPC's live agent; None when there is none."""
    found = process.read_record(fabric.descriptor, RECORD)
    return found if found is not None and found.is_alive() else None


def add_tap(data: Path, link: Link) -> int:
    """The descriptor of a new tap in the VPC's fabric, which is made where there is none; the caller closes it.

    Nothing passes through it before the rules say so.  Raises NetworkFailed, DirectoryBusy.
    """
    with open_fabric(data, link.vpc_id, make=True) as fabric, locked(fabric, LOCK_SECONDS_MAX) as lock:
        if find_agent(fabric) is None:
            _start_agent(fabric, lock, [])
        with Agent(fabric) as agent:
            if not agent.state()["rules"]:
                agent.enforce(ruleset(CLOSED, link.vpc_id))
            return agent.add(link)


@contextlib.contextmanager
def making_tap(data: Path, link: Link | None) -> Iterator[Callable[[], list[int]]]:
    """A tap that is made while the caller does something else; the function waits for it.  Its descriptor is closed at the end.

    The function answers nothing where there is no ``link``, and raises what :func:`add_tap` raises.
    """
    if link is None:
        yield list
        return
    with ThreadPoolExecutor(1, thread_name_prefix="tap") as thread:
        made = thread.submit(add_tap, data, link)
        try:
            yield lambda: [made.result()]
        finally:
            with contextlib.suppress(NetworkFailed, DirectoryBusy, OSError):
                os.close(made.result())


def revive_agent(data: Path, vpc_id: str, qemus: Sequence[Process]) -> Process:
    """The VPC's agent, started in the namespace that the tap of one of ``qemus`` leads to where there is none.  Raises NetworkFailed."""
    with open_fabric(data, vpc_id) as fabric, contextlib.ExitStack() as stack:
        found = find_agent(fabric)
        if found is not None:
            return found
        lock = stack.enter_context(locked(fabric, wait_seconds=0))
        failure = NetworkFailed("none of its machines lives")
        for qemu in qemus:
            try:
                with _namespaces_of(qemu) as namespaces:
                    return _start_agent(fabric, lock, namespaces)
            except NetworkFailed as error:
                failure = error
        raise failure


@contextlib.contextmanager
def _namespaces_of(qemu: Process) -> Iterator[list[int]]:
    """The namespaces that the machine's tap is in, outermost first."""
    with contextlib.ExitStack() as stack:
        pidfd = qemu.open()
        if pidfd is None:
            raise NetworkFailed("QEMU has ended")
        stack.callback(os.close, pidfd)
        libc = ctypes.CDLL(None, use_errno=True)
        tap = libc.syscall(_PIDFD_GETFD, pidfd, TAP_DESCRIPTOR, 0)
        if tap < 0:
            raise NetworkFailed(f"QEMU's tap cannot be taken: {os.strerror(ctypes.get_errno())}")
        stack.callback(os.close, tap)
        try:
            namespace = fcntl.ioctl(tap, _TUNGETDEVNETNS)
            stack.callback(os.close, namespace)
            found = [namespace]
            if os.geteuid() != 0:  # an ordinary user made a user namespace around it
                outer = fcntl.ioctl(namespace, _NS_GET_USERNS)
                stack.callback(os.close, outer)
                found = [outer, namespace]
        except OSError as error:
            raise NetworkFailed(f"the tap's namespace cannot be opened: {error.strerror}") from None
        yield found


def _open_log(fabric: Directory) -> int:
    """The log for the next agent, which tells there what it ends by; of earlier ones' words so many are kept, and as many in ``log.1``."""
    log = fabric.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if os.fstat(log).st_size <= LOG_BYTES_MAX:
        return log
    os.close(log)
    os.rename(LOG, f"{LOG}.1", src_dir_fd=fabric.descriptor, dst_dir_fd=fabric.descriptor)
    return fabric.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def _start_agent(fabric: Directory, lock: int, namespaces: Sequence[int]) -> Process:
    numbers = list(range(process.PASSED, process.PASSED + len(namespaces)))
    what: dict[str, Any] = {"record": RECORD, "facts": {}, "namespaces": numbers}
    with contextlib.ExitStack() as stack:
        log = _open_log(fabric)
        stack.callback(os.close, log)
        reading, writing = os.pipe2(os.O_CLOEXEC)
        stack.callback(os.close, reading)
        with os.fdopen(writing, "wb"):
            pid = process.spawn(
                "amiable.vm.fabric_agent", what, directory=lock, log=log, ready=writing, passed=list(namespaces)
            )
        word = os.read(reading, 4096) if is_readable(reading, READY_SECONDS_MAX) else b"it was too slow"
    found = process.read_record(fabric.descriptor, RECORD)
    if word == b"ready\n" and found is not None and found.pid == pid:
        return found
    with contextlib.suppress(OSError):
        process.identity_of(pid).end(wait_seconds=5)
    raise NetworkFailed(f"the network agent: {word.decode(errors='replace').strip() or 'it ended without a word'}")


class Agent:
    """A connection to a VPC's agent; used by one thread at a time.  Raises NetworkFailed."""

    def __init__(self, fabric: Directory, *, wait_seconds: float = 0.0) -> None:
        """Connects; ``wait_seconds`` for one that has died to be started again."""
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                self._socket = fabric.connect(SOCKET, socket.SOCK_SEQPACKET, wait_seconds=ANSWER_SECONDS_MAX)
                break
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise NetworkFailed(f"the network agent does not answer: {error.strerror}") from None
            time.sleep(0.1)
        self._socket.settimeout(ANSWER_SECONDS_MAX)

    def __enter__(self) -> "Agent":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets the connection go."""
        self._socket.close()

    def state(self) -> dict[str, Any]:
        """``taps`` that are served, the digest of the ``rules`` that are enforced, and whether the way from the ``host`` is there."""
        return self._ask({"do": "state"})[0]

    def enforce(self, text: str) -> None:
        """Replaces the ruleset."""
        given = os.memfd_create("rules")
        try:
            os.write(given, text.encode())
            self._ask({"do": "rules"}, [given])
        finally:
            os.close(given)

    def add(self, link: Link) -> int:
        """A new tap's descriptor."""
        return self._descriptor({"do": "add", "link": link._asdict()})

    def keep(self, link: Link, listener: socket.socket | None) -> None:
        """Has a tap served that there is already; ``listener`` is its metadata socket where the caller has it."""
        self._ask({"do": "keep", "link": link._asdict()}, [] if listener is None else [listener.fileno()])

    def lease(self, tap: str) -> Lease:
        """What the tap's guest has asked of our DHCP, and been given."""
        reply = self._ask({"do": "lease", "tap": tap})[0]
        return Lease(reply["since"], reply["asked_at"], reply["given_at"])

    def metadata_listener(self, tap: str) -> socket.socket:
        """The socket that takes the metadata connections of the tap's guest."""
        return socket.socket(fileno=self._descriptor({"do": "metadata", "tap": tap}))

    def way(self, tap: str) -> socket.socket:
        """A TCP socket, not connected yet, that reaches the guest behind the tap and nothing else."""
        return socket.socket(fileno=self._descriptor({"do": "way", "tap": tap}))

    def take_host(self, addresses: Sequence[str]) -> None:
        """Has what comes from the host's ``addresses`` taken."""
        self._ask({"do": "host", "addresses": list(addresses)})

    def _descriptor(self, request: dict[str, Any]) -> int:
        passed = self._ask(request)[1]
        if len(passed) != 1:
            for descriptor in passed:
                os.close(descriptor)
            raise NetworkFailed("the network agent gave no descriptor")
        return passed[0]

    def _ask(self, request: dict[str, Any], given: Sequence[int] = ()) -> tuple[dict[str, Any], list[int]]:
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode()], list(given))
            body, passed, _flags, _address = socket.recv_fds(self._socket, PACKET_BYTES_MAX, 1, socket.MSG_CMSG_CLOEXEC)
        except OSError as error:
            raise NetworkFailed(f"the network agent does not answer: {error}") from None
        try:
            reply: dict[str, Any] = json.loads(body) if body else {"ok": False, "error": "the network agent ended"}
        except ValueError:
            reply = {"ok": False, "error": "the network agent's answer is cut short"}
        if not reply["ok"]:
            for descriptor in passed:
                os.close(descriptor)
            raise NetworkFailed(str(reply.get("error", "no words")))
        return reply, passed


def dial(data: Path, link: Link, port: int, *, wait_seconds: float = 0.0) -> socket.socket:
    """A connection to the guest's port, whatever its security groups say; ``wait_seconds`` for an agent that has died.

    The agent has places for a few at once: none is held while a guest is waited for.  Raises NetworkFailed.
    """
    with open_fabric(data, link.vpc_id) as folder, Agent(folder, wait_seconds=wait_seconds) as agent:
        way = agent.way(link.tap)
    try:
        way.settimeout(CONNECT_SECONDS_MAX)
        way.connect((link.address, port))
        way.settimeout(None)
    except OSError as error:
        way.close()
        raise NetworkFailed(error.strerror or "it did not answer in time") from None
    return way


def metadata_listener(directory: Directory, qemu: Process) -> socket.socket:
    """The socket on which the machine's metadata connections are accepted, in whatever mode it is.

    An agent that ended while no server lived is started again for it.  Raises NetworkFailed.
    """
    link = link_of(qemu)
    if link is None:
        return network.metadata_listener(directory, qemu)
    data = directory.path.parents[1]
    with open_fabric(data, link.vpc_id) as fabric:
        try:
            revive_agent(data, link.vpc_id, [qemu])
        except DirectoryBusy:
            raise NetworkFailed("its fabric is being worked on") from None
        with Agent(fabric) as agent:
            if link.tap not in agent.state()["taps"]:
                agent.keep(link, None)
            return agent.metadata_listener(link.tap)


def lease_of(data: Path, qemu: Process) -> Lease | None:
    """What the machine's guest has asked of our DHCP; None in another mode than *routed*, or where its agent does not tell."""
    link = link_of(qemu)
    if link is None:
        return None
    try:
        with open_fabric(data, link.vpc_id) as fabric, Agent(fabric) as agent:
            return agent.lease(link.tap)
    except (NetworkFailed, OSError):
        return None


def digest(text: str) -> str:
    """What an agent's state says of a ruleset."""
    return hashlib.sha256(text.encode()).hexdigest()


def link_of(qemu: Process) -> Link | None:
    """The link of a running machine's interface; None in another mode than *routed*."""
    facts = qemu.facts.get("link")
    return None if facts is None else Link(**facts)
