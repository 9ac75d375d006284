"""Console output, screenshots, passwords, interrupts and the serial console's switch: whose, when, and in what words refused."""

import base64
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from amiable.api.ec2 import console as api
from amiable.database import consoles, instances
from amiable.database.consoles import Password
from amiable.model.errors import Refusal
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.services import Services
from amiable.services.consoles import POST_BYTES_MAX, keep
from amiable.vm import console_log
from amiable.vm.directory import open_directory
from amiable.vm.machine import CONSOLE
from amiable.wire.generated import ec2
from tests.api.ec2.launching import make_image, run_one


@pytest.fixture
def instance_id(services: Services, principal: Principal) -> str:
    return run_one(services, principal, make_image(services, principal))


def output(services: Services, principal: Principal, instance_id: str, *, latest: bool) -> bytes:
    request = ec2.GetConsoleOutputRequest(instance_id=instance_id, latest=latest)
    found = api.get_console_output(services, principal, request).output
    assert found is not None
    return base64.b64decode(found)


def make_folder(services: Services, instance_id: str) -> Path:
    folder = services.data / "instances" / instance_id
    folder.mkdir(mode=0o700)
    return folder


def happen(services: Services, instance_id: str, *events: Event) -> None:
    with services.database.write() as c:
        for event in events:
            instances.set_state(c, instance_id, event, now=services.now())


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value.code, caught.value.message


def test_latest_is_the_logs_last_64_kib_byte_for_byte(
    services: Services, principal: Principal, instance_id: str
) -> None:
    assert output(services, principal, instance_id, latest=True) == b""
    folder = make_folder(services, instance_id)
    (folder / CONSOLE).write_bytes(b"login: \x1b[0m\xff\r\n")
    assert output(services, principal, instance_id, latest=True) == b"login: \x1b[0m\xff\r\n"
    (folder / CONSOLE).write_bytes(b"old" + b"x" * POST_BYTES_MAX)
    assert output(services, principal, instance_id, latest=True) == b"x" * POST_BYTES_MAX


def test_what_was_posted_stays_when_the_machine_and_its_directory_are_gone(
    services: Services, principal: Principal, instance_id: str
) -> None:
    folder = make_folder(services, instance_id)
    text = b"first words\n" + b"y" * (300 * 1024) + b"\nlast words\n"
    (folder / CONSOLE).write_bytes(text)
    assert output(services, principal, instance_id, latest=False) == b""
    with open_directory(services.data, instance_id) as directory:
        keep(services, instance_id, 1, directory)
    (folder / CONSOLE).write_bytes(b"another boot")
    assert output(services, principal, instance_id, latest=False) == text[-POST_BYTES_MAX:]
    assert output(services, principal, instance_id, latest=True) == b"another boot"
    (folder / CONSOLE).unlink()
    folder.rmdir()
    assert output(services, principal, instance_id, latest=True) == text[-POST_BYTES_MAX:]
    assert console_log.read(services.data, instance_id, 1, 0, 1 << 20) == text


def test_the_last_logs_are_kept_and_no_more(services: Services, instance_id: str) -> None:
    folder = make_folder(services, instance_id)
    for boot in range(1, 6):
        (folder / CONSOLE).write_text(f"boot {boot}")
        with open_directory(services.data, instance_id) as directory:
            keep(services, instance_id, boot, directory)
    assert console_log.kept(services.data, instance_id) == [3, 4, 5]
    assert console_log.read(services.data, instance_id, 4, 5, 100) == b"4"
    assert console_log.read(services.data, instance_id, 1, 0, 100) == b""


def test_a_console_that_is_a_link_is_not_followed(
    services: Services, principal: Principal, instance_id: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (make_folder(services, instance_id) / CONSOLE).symlink_to(tmp_path / "secret")
    assert output(services, principal, instance_id, latest=True) == b""
    with open_directory(services.data, instance_id) as directory:
        keep(services, instance_id, 1, directory)
    assert output(services, principal, instance_id, latest=False) == b""


ASKED = [
    (api.get_console_output, ec2.GetConsoleOutputRequest),
    (api.get_console_screenshot, ec2.GetConsoleScreenshotRequest),
    (api.get_password_data, ec2.GetPasswordDataRequest),
    (api.send_diagnostic_interrupt, ec2.SendDiagnosticInterruptRequest),
]


@pytest.mark.parametrize(("operation", "request_type"), ASKED)
def test_a_guest_is_seen_by_its_owner_alone(
    services: Services, other_principal: Principal, instance_id: str, operation: Any, request_type: Any
) -> None:
    asked = request_type(instance_id=instance_id)
    assert refusal(lambda: operation(services, other_principal, asked)) == (
        "InvalidInstanceID.NotFound",
        f"The instance ID '{instance_id}' does not exist",
    )
    malformed = request_type(instance_id="i-x")
    assert refusal(lambda: operation(services, other_principal, malformed))[0] == "InvalidInstanceID.Malformed"


@pytest.mark.parametrize(
    ("operation", "request_type", "verb"),
    [
        (api.get_console_screenshot, ec2.GetConsoleScreenshotRequest, "photographed"),
        (api.send_diagnostic_interrupt, ec2.SendDiagnosticInterruptRequest, "interrupted"),
    ],
)
def test_only_a_running_machine_has_a_screen_and_takes_an_interrupt(
    services: Services, principal: Principal, instance_id: str, operation: Any, request_type: Any, verb: str
) -> None:
    asked = request_type(instance_id=instance_id)
    expected = (
        "IncorrectInstanceState",
        f"The instance '{instance_id}' is not in a state from which it can be {verb}.",
    )
    assert refusal(lambda: operation(services, principal, asked)) == expected
    happen(services, instance_id, Event.BOOTED)
    code, message = refusal(lambda: operation(services, principal, asked))  # running, and its directory is not there
    assert code == "UnsupportedOperation" and instance_id in message


def test_a_paravirtual_guest_has_no_screen_and_takes_no_interrupt(
    services: Services, principal: Principal, instance_id: str
) -> None:
    with services.database.write() as c:
        instances.change(c, instance_id, hardware_profile="xen-pv")
    happen(services, instance_id, Event.BOOTED)
    shot = ec2.GetConsoleScreenshotRequest(instance_id=instance_id)
    assert refusal(lambda: api.get_console_screenshot(services, principal, shot)) == (
        "UnsupportedOperation",
        f"The instance '{instance_id}' is paravirtual: it has no screen.",
    )
    interrupt = ec2.SendDiagnosticInterruptRequest(instance_id=instance_id)
    code, message = refusal(lambda: api.send_diagnostic_interrupt(services, principal, interrupt))
    assert code == "UnsupportedOperation" and "hypervisor" in message


def test_a_password_is_empty_until_the_guest_printed_it(
    services: Services, principal: Principal, instance_id: str
) -> None:
    asked = ec2.GetPasswordDataRequest(instance_id=instance_id)
    found = api.get_password_data(services, principal, asked)
    assert (found.instance_id, found.password_data) == (instance_id, "")
    seen_at = services.now() - timedelta(seconds=5)
    with services.database.write() as c:
        consoles.put_password(c, instance_id, Password(seen_at, "AAAA"))
    found = api.get_password_data(services, principal, asked)
    assert (found.timestamp, found.password_data) == (seen_at, "AAAA")


def test_an_ed25519_key_decrypts_no_password_and_that_is_said(
    services: Services, principal: Principal, instance_id: str
) -> None:
    with services.database.write() as c:
        instances.change(c, instance_id, public_key="ssh-ed25519 AAAA")
    asked = ec2.GetPasswordDataRequest(instance_id=instance_id)
    assert refusal(lambda: api.get_password_data(services, principal, asked)) == (
        "UnsupportedOperation",
        f"The instance '{instance_id}' was launched with an ED25519 key pair, which cannot decrypt a password.",
    )


def test_the_serial_console_is_off_until_it_is_switched_on_for_one_account_and_region(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    def status(who: Principal) -> bool | None:
        asked = ec2.GetSerialConsoleAccessStatusRequest()
        return api.get_serial_console_access_status(services, who, asked).serial_console_access_enabled

    assert status(principal) is False
    rehearsed = ec2.EnableSerialConsoleAccessRequest(dry_run=True)
    assert refusal(lambda: api.enable_serial_console_access(services, principal, rehearsed))[0] == "DryRunOperation"
    assert status(principal) is False
    asked = ec2.EnableSerialConsoleAccessRequest()
    assert api.enable_serial_console_access(services, principal, asked).serial_console_access_enabled is True
    assert (status(principal), status(other_principal)) == (True, False)
    elsewhere = Principal(principal.account_id, principal.access_key_id, "eu-west-1")
    assert status(elsewhere) is False
    off = api.disable_serial_console_access(services, principal, ec2.DisableSerialConsoleAccessRequest())
    assert off.serial_console_access_enabled is False and status(principal) is False


def test_a_machine_is_asked_by_one_call_and_few_machines_at_once(
    services: Services, principal: Principal, instance_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    happen(services, instance_id, Event.BOOTED)
    make_folder(services, instance_id)
    interrupt = ec2.SendDiagnosticInterruptRequest(instance_id=instance_id)

    def asked() -> str:
        return refusal(lambda: api.send_diagnostic_interrupt(services, principal, interrupt))[0]

    for others in ({instance_id}, {f"i-{number}" for number in range(api.MACHINES_MAX)}):
        monkeypatch.setattr(api, "_asked", set(others))
        assert asked() == "Unavailable" and api._asked == others
    monkeypatch.setattr(api, "_asked", set())
    assert asked() == "IncorrectInstanceState" and api._asked == set(), "it is let go whatever came of it"
