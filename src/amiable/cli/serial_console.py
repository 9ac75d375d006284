"""``instance console --interactive``: this terminal as the guest's serial console, over a WebSocket of the signed API.

The terminal is raw while it lasts: every key goes to the guest, Ctrl-C too.  The way out is Ctrl-], as in telnet and virsh, or ``~.`` at
the beginning of a line, as in ssh.
"""

import contextlib
import os
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from amiable.cli.output import say
from amiable.cli.terminal_text import plain
from amiable.cli.tunnel import Tunnel, dial_path

ESCAPE_KEY: Final = b"\x1d"
"""Ctrl-]"""
CHUNK_BYTES: Final = 4096


@dataclass(slots=True)
class Keys:
    """What was typed, on its way: finds the way out, hands on the rest."""

    is_at_line_start: bool = True
    has_tilde: bool = False

    def take(self, typed: bytes) -> tuple[bytes, bool]:
        """(what goes to the guest, whether the user wants out)."""
        out = bytearray()
        for byte in typed:
            key = bytes([byte])
            if key == ESCAPE_KEY or (self.has_tilde and key == b"."):
                return bytes(out), True
            if self.has_tilde:
                self.has_tilde = False
                if key != b"~":  # ``~~`` is one tilde
                    out += b"~"
                out += key
            elif key == b"~" and self.is_at_line_start:
                self.has_tilde = True
                continue
            else:
                out += key
            self.is_at_line_start = key in b"\r\n"
        return bytes(out), False


@contextlib.contextmanager
def raw_terminal(descriptor: int) -> Iterator[None]:
    """The terminal without echo, lines and signals; as it was afterwards.  What is no terminal stays as it is."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)  # what was typed already stays
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def attach(instance: str) -> None:
    """Carries keys and output until the guest's machine ends or the user leaves."""
    with dial_path(instance, "console") as line:
        reading, writing = os.pipe()
        typing = threading.Thread(target=_type, args=(line, sys.stdin.fileno(), reading), daemon=True)
        with raw_terminal(sys.stdin.fileno()):
            if sys.stdin.isatty():
                sys.stderr.write(f"connected to {plain(instance)}; Ctrl-] ends this\r\n")
            typing.start()
            output = sys.stdout.fileno()
            while data := line.receive():
                view = memoryview(data)
                while view:
                    view = view[os.write(output, view) :]
        os.close(writing)
        typing.join()
        os.close(reading)
    if sys.stdin.isatty():
        say(f"\nno longer connected to {instance}")


def _type(line: Tunnel, keyboard: int, ended: int) -> None:
    """Sends what is typed, until the user leaves, input ends, or the other side did (``ended``)."""
    import select

    keys = Keys()
    with contextlib.suppress(OSError):
        while ended not in (ready := select.select([keyboard, ended], [], [])[0]) and keyboard in ready:
            typed = os.read(keyboard, CHUNK_BYTES)
            data, is_over = keys.take(typed)
            if data:
                line.send(data)
            if is_over or not typed:
                break
    line.close()
