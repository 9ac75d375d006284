"""``amiable``: the commands, and the one place where an error becomes words and an exit code.

Exit codes: 0 done · 1 refused · 2 usage · 69 unavailable · 70 our bug · 74 I/O · 75 retry later · 124 waited too long · 128+n signal.
Subcommands are loaded when they are asked for, so ``--help`` starts at once.
"""

import io
import os
import signal
import sys
from threading import current_thread, main_thread
from types import FrameType
from typing import Final

# ruff: noqa: E402  Ctrl-C is seen to before the rest is loaded, which takes a moment
_LOADS_ALONE: Final = (
    signal.getsignal(signal.SIGINT) is signal.default_int_handler and current_thread() is main_thread()
)
if _LOADS_ALONE:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to undo yet, nor to tell of

import cyclopts

from amiable import __version__
from amiable.cli.hints import NOT_RUNNING, OTHER_SERVER, exit_code_for, hint_for
from amiable.cli.terminal_text import plain
from amiable.model.errors import Refusal

if _LOADS_ALONE:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ENDING_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
"""Sent by timeout, systemd, a terminal that closes: a command cleans up as after Ctrl-C."""


def told_default(value: object) -> str | None:
    """A default as ``--help`` says it; nothing where there is none, or an option that is off until it is given."""
    return None if value is None or value is False or value in ("", ()) else f"{value}"


app = cyclopts.App(
    name="amiable",
    help="Machine images you own: build, bundle, import, share and boot Amazon Machine Images on your own hardware.",
    version=__version__,
    help_format="plaintext",
    print_error=False,
    exit_on_error=False,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    default_parameter=cyclopts.Parameter(show_default=told_default),
)
app.command("amiable.cli.serve:serve", name="serve", help="Start the server.")
app.command("amiable.cli.env:env", name="env", help="Print what a shell needs to speak to the server.")
app.command("amiable.cli.doctor:doctor", name="doctor", help="Check this host and the server.")
app.command("amiable.cli.image:app", name="image", help="Machine images: import, create, copy, list, show, share, …")
app.command("amiable.cli.bundle:app", name="bundle", help="Classic bundles: create, publish, upload, migrate, …")
app.command(
    "amiable.cli.kernel:app",
    name="kernel",
    help="Kernels and ramdisks for paravirtual images: add, list, approve, deregister; PV-GRUB and Xen.",
)
app.command(
    "amiable.cli.channel:app",
    name="channel",
    help="Channels: create, promote, rollback, list, show, history, share, delete.",
)
app.command("amiable.cli.key_pair:app", name="key-pair", help="Key pairs: create, import, list, delete.")
app.command("amiable.cli.launch:launch", name="launch", help="Launch instances of an image.")
app.command(
    "amiable.cli.instance:app", name="instance", help="Instances: list, show, console, ssh, stop, start, reboot, …"
)
app.command(
    "amiable.cli.instance_identity:app",
    name="instance-identity",
    help="What instances' identity documents are verified by.",
)
app.command(
    "amiable.cli.volume:app", name="volume", help="Volumes: list, show, create, attach, detach, resize, delete."
)
app.command("amiable.cli.snapshot:app", name="snapshot", help="Snapshots of volumes: create, list, show, delete.")
app.command("amiable.cli.proxy:proxy", name="proxy", help="SOCKS5 proxy on loopback into the instances.")
app.command("amiable.cli.product:app", name="product", help="Paid images: offer, attach, subscribe, statements.")
app.command(
    "amiable.cli.recycle_bin:app",
    name="recycle-bin",
    help="The Recycle Bin: what is in it, restoring it, its rules, a plan with warnings.",
)
app.command("amiable.cli.account:app", name="account", help="Accounts (administrator): create, list, partner, alias.")
app.command(
    "amiable.cli.access_key:app",
    name="access-key",
    help="Your account's access keys: create, list, disable, enable, delete.",
)
app.command(
    "amiable.cli.name_guard:app", name="name-guard", help="A launch policy against images that only look like yours."
)
app.command(
    "amiable.cli.organization:app", name="organization", help="Organizations of accounts: create, show, units, members."
)
app.command("amiable.cli.events:events", name="events", help="The log of what was done, and by whom.")


class Ended(KeyboardInterrupt):
    """One of ``ENDING_SIGNALS`` came: taken everywhere as Ctrl-C is."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def run() -> None:
    """The console script."""
    open_streams()
    end_on_signals()
    sys.exit(main(sys.argv[1:]))


def open_streams() -> None:
    """Gives streams that whoever started this has closed to the null device: no file of ours takes their place.

    A file's name is printed as it is, whatever its bytes.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, number)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115  for the whole run
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape" if sys.stdout.encoding == "utf-8" else "backslashreplace")


def end_on_signals() -> None:
    """Has ``ENDING_SIGNALS`` raise Ended in the main thread; one that whoever started this has ignored (nohup) stays so."""

    def end(number: int, _frame: FrameType | None) -> None:
        for each in ENDING_SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # both may come at once: cleaning up is not interrupted
        raise Ended(number)

    for number in ENDING_SIGNALS:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, end)


def main(argv: list[str]) -> int:
    """Runs one command; the exit code."""
    try:
        result = app(argv or ["--help"])
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except cyclopts.CycloptsError as error:
        return complain(str(error).strip(), "see amiable --help, or --help behind the command", 2)
    except Refusal as refusal:
        advice = refusal.advice or hint_for(refusal.code, refusal.message)
        return complain(refusal.message, advice, getattr(refusal, "exit_code", 1))
    except Ended as ended:
        code = 128 + ended.number  # of SIGHUP nothing is said: the terminal is gone, or ssh is done with its tunnel
        return code if ended.number == signal.SIGHUP else complain("ended by SIGTERM", "", code)
    except KeyboardInterrupt:
        return complain("interrupted", "", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except UnicodeEncodeError as error:
        return complain(f"this is no UTF-8 text: {error.object}", "", 2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return complain(f"{where}{error.strerror or error}", "", 74)
    except Exception as error:  # noqa: BLE001  the outermost loop: botocore's errors are told by name, ours are bugs
        return complain_of_client(error)


def complain(words: str, hint: str, code: int) -> int:
    """``error: words``, a blank line and ``hint: hint`` on stderr, where nothing in them steers the terminal; returns ``code``."""
    sys.stderr.write(f"error: {plain(words)}\n")
    if hint:
        sys.stderr.write(f"\nhint: {plain(hint)}\n")
    return code


def complain_of_client(error: Exception) -> int:
    """Words for botocore's errors; anything else is a bug of ours and says so."""
    kind = type(error).__name__
    if type(error).__module__.startswith("botocore"):
        response = getattr(error, "response", None)
        if response:
            found = response.get("Error", {})
            answered = response.get("ResponseMetadata", {})
            code, message = str(found.get("Code")), str(found.get("Message"))
            told = answered.get("HTTPHeaders", {}).get("x-amiable-hint", "").replace(" | ", "\n")
            hint = told or hint_for(code, message)
            return complain(
                f"{code}: {message}", hint, exit_code_for(code, answered.get("HTTPStatusCode", 400), message)
            )
        if "ResponseParser" in kind:
            words = "what answers at AWS_ENDPOINT_URL is no Amiable server"
            return complain(words, OTHER_SERVER, 69)
        if "ParamValidation" in kind:
            _heading, *faults = str(error).splitlines()
            return complain("; ".join(faults), "", 1)
        if "Connect" in kind or "Endpoint" in kind or "Timeout" in kind or "HTTPClient" in kind:
            return complain(str(error), NOT_RUNNING, 69)
        if "Credential" in kind or "Profile" in kind or "Region" in kind:
            return complain(str(error), 'eval "$(amiable env)"', 1)
        if "WaiterError" in kind:
            return complain(str(error), "", 124)
        return complain(str(error), "", 1)
    if os.environ.get("AMIABLE_DEBUG"):
        raise error
    return complain(f"{kind}: {error}", "this is a bug in amiable; AMIABLE_DEBUG=1 shows where", 70)


if __name__ == "__main__":
    run()
