"""GetConsoleOutput, GetConsoleScreenshot, GetPasswordData, SendDiagnosticInterrupt, and the account's switch of the serial console.

GetConsoleOutput has two answers, as on EC2.  *Latest* is the log's last 64 KiB now.  Without it, it is what was posted: shortly after
a start or a reset of the guest, at a stop, at the end; that stays for an hour, as long as the terminated instance is shown.
"""

import base64
import contextlib
import threading
from collections.abc import Iterator
from typing import Final

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.instance_ids import find_named
from amiable.database import consoles
from amiable.model.errors import IncorrectInstanceState, Unavailable, UnsupportedOperation
from amiable.model.hardware import Profile
from amiable.model.instance import Instance, State
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.services.consoles import POST_BYTES_MAX
from amiable.vm import console, machine, screen
from amiable.vm.directory import Directory, open_directory
from amiable.vm.machine import MachineFailed
from amiable.vm.qmp import Qmp
from amiable.wire.generated import ec2

SCREENLESS: Final = (Profile.XEN_PV.value, Profile.DIRECT.value, Profile.DIRECT_NVME.value)
WAKE_KEY: Final = "ctrl"
"""Wakes a screen, and types nothing."""
MACHINES_MAX: Final = 4
"""Asked at once by calls."""
_asked: set[str] = set()
_asking = threading.Lock()


def _find(services: Services, principal: Principal, instance_id: str) -> Instance:
    with services.database.read() as c:
        (instance,) = find_named(c, principal, [instance_id], now=services.now())
    return instance


def get_console_output(
    services: Services, principal: Principal, request: ec2.GetConsoleOutputRequest
) -> ec2.GetConsoleOutputResult:
    """The console's last 64 KiB, base64: as posted after the last transition, or with Latest as they are now."""
    instance = _find(services, principal, request.instance_id)
    raise_if_dry_run(request)
    with services.database.read() as c:
        post = consoles.find_post(c, instance.id)
    found, at = (post.output, post.posted_at) if post is not None else (b"", services.now())
    if request.latest:
        now = read_console(services, instance.id)
        found, at = (now, services.now()) if now is not None else (found, at)
    return ec2.GetConsoleOutputResult(
        instance_id=instance.id, timestamp=at, output=base64.b64encode(found[-POST_BYTES_MAX:]).decode()
    )


def read_console(services: Services, instance_id: str) -> bytes | None:
    """The console's last bytes as they are now; None before the first boot and after the instance's end.

    The directory is the guest's QEMU's, so a link that stands in the log's place is not followed: it reads as nothing.
    """
    try:
        with open_directory(services.data, instance_id) as directory:
            return console.tail(directory, POST_BYTES_MAX)
    except OSError:
        return None


def get_console_screenshot(
    services: Services, principal: Principal, request: ec2.GetConsoleScreenshotRequest
) -> ec2.GetConsoleScreenshotResult:
    """The screen as a JPEG, base64; with WakeUp a key is pressed before."""
    instance = _find(services, principal, request.instance_id)
    _check_running(instance, "photographed")
    if instance.hardware_profile in SCREENLESS:
        raise UnsupportedOperation(
            f"The instance '{instance.id}' is paravirtual: it has no screen.",
            hint="its console is text: GetConsoleOutput",
        )
    raise_if_dry_run(request)
    try:
        with _machine(services, instance, "photographed") as (directory, qmp):
            if request.wake_up:
                screen.press(qmp, WAKE_KEY)
            jpeg = screen.photograph(directory, qmp)
    except (MachineFailed, FileNotFoundError) as error:
        raise UnsupportedOperation(f"The screen of '{instance.id}' cannot be read: {error}") from None
    return ec2.GetConsoleScreenshotResult(instance_id=instance.id, image_data=base64.b64encode(jpeg).decode())


@contextlib.contextmanager
def _machine(services: Services, instance: Instance, verb: str) -> Iterator[tuple[Directory, Qmp]]:
    """The machine's directory and its monitor, which takes one client: a second call for it is refused, not kept waiting.

    So calls about one machine, which may not answer, never hold all of the server's threads.
    """
    with _asking:
        if instance.id in _asked or len(_asked) >= MACHINES_MAX:
            raise Unavailable(f"The machine of '{instance.id}' is being asked already. Try again.")
        _asked.add(instance.id)
    try:
        with open_directory(services.data, instance.id) as directory:
            qemu = machine.find_machine(directory)
            if qemu is None:
                raise IncorrectInstanceState(instance_id=instance.id, verb=verb)
            with machine.monitor(directory, qemu) as qmp:
                yield directory, qmp
    finally:
        with _asking:
            _asked.discard(instance.id)


def _check_running(instance: Instance, verb: str) -> None:
    if instance.state is not State.RUNNING:
        raise IncorrectInstanceState(instance_id=instance.id, verb=verb)


def get_password_data(
    services: Services, principal: Principal, request: ec2.GetPasswordDataRequest
) -> ec2.GetPasswordDataResult:
    """The password that the guest printed, encrypted with its launch's key; empty until then.

    An ED25519 key can decrypt nothing: the guest never prints one, so that is said in place of an answer that stays empty.
    """
    instance = _find(services, principal, request.instance_id)
    with services.database.read() as c:
        password = consoles.find_password(c, instance.id)
    if password is None and (instance.public_key or "").startswith("ssh-ed25519"):
        raise UnsupportedOperation(
            f"The instance '{instance.id}' was launched with an ED25519 key pair, which cannot decrypt a password.",
            hint="launch with a key pair of type rsa",
        )
    raise_if_dry_run(request)
    return ec2.GetPasswordDataResult(
        instance_id=instance.id,
        timestamp=password.seen_at if password else services.now(),
        password_data=password.text if password else "",
    )


def send_diagnostic_interrupt(
    services: Services, principal: Principal, request: ec2.SendDiagnosticInterruptRequest
) -> None:
    """A non-maskable interrupt to the guest: its kernel does what it is set to (Linux: panic, where told so)."""
    instance = _find(services, principal, request.instance_id)
    _check_running(instance, "interrupted")
    if instance.hardware_profile == Profile.XEN_PV.value:
        raise UnsupportedOperation(
            f"The instance '{instance.id}' is paravirtual: the interrupt would reach its hypervisor, not its kernel."
        )
    raise_if_dry_run(request)
    try:
        with _machine(services, instance, "interrupted") as (_, qmp):
            qmp.execute("inject-nmi")
    except (MachineFailed, FileNotFoundError) as error:
        raise UnsupportedOperation(f"The instance '{instance.id}' cannot be interrupted: {error}") from None


def enable_serial_console_access(
    services: Services, principal: Principal, request: ec2.EnableSerialConsoleAccessRequest
) -> ec2.EnableSerialConsoleAccessResult:
    """Lets the account use the serial consoles of its instances."""
    raise_if_dry_run(request)
    _switch(services, principal, is_enabled=True)
    return ec2.EnableSerialConsoleAccessResult(serial_console_access_enabled=True)


def disable_serial_console_access(
    services: Services, principal: Principal, request: ec2.DisableSerialConsoleAccessRequest
) -> ec2.DisableSerialConsoleAccessResult:
    """Takes that away again; open consoles end."""
    raise_if_dry_run(request)
    _switch(services, principal, is_enabled=False)
    return ec2.DisableSerialConsoleAccessResult(serial_console_access_enabled=False)


def _switch(services: Services, principal: Principal, *, is_enabled: bool) -> None:
    with services.database.write() as c:
        consoles.enable_serial_console(c, principal.account_id, principal.region, is_enabled=is_enabled)


def get_serial_console_access_status(
    services: Services, principal: Principal, request: ec2.GetSerialConsoleAccessStatusRequest
) -> ec2.GetSerialConsoleAccessStatusResult:
    """Whether the account may use serial consoles; off until it is switched on."""
    raise_if_dry_run(request)
    with services.database.read() as c:
        is_enabled = consoles.is_serial_console_enabled(c, principal.account_id, principal.region)
    return ec2.GetSerialConsoleAccessStatusResult(serial_console_access_enabled=is_enabled, managed_by="account")
