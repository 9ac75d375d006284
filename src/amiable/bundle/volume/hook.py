"""The tree that a script may change: an overlay over the volume, in a mount namespace that ends with it.

The volume is the lower layer and stays as it is; what the script writes lies in memory, and is read from there into the image.  Nothing is
mounted where anyone else sees it, and when the holder ends (or is killed) the namespace and its mounts are gone.

    holder: unshare ─▶ tmpfs, one overlay for the volume and each file system below it ─▶ "ready" ─▶ script ─▶ "ended N" ─▶ waits
    here:   /proc/HOLDER/root/SCRATCH/tree is the tree
"""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from amiable.bundle.volume.programs import find_program, search_path
from amiable.model.errors import LocalRefusal

MOUNT_SCRIPT: Final = """\
set -e
scratch=$1 volume=$2 options=$3; shift 3
mount -t tmpfs -o mode=0700 tmpfs "$scratch"
number=0
lay() {
    number=$((number + 1))
    mkdir -p "$scratch/upper/$number" "$scratch/aside/$number" "$scratch/tree"
    (cd "$1" && mount -t overlay -o "lowerdir=.,upperdir=$scratch/upper/$number,workdir=$scratch/aside/$number$options" overlay "$2")
}
lay "$volume" "$scratch/tree"
for below; do lay "$volume/$below" "$scratch/tree/$below"; done
echo ready
while read -r script; do
    status=0
    "$script" "$scratch/tree" </dev/null >&2 || status=$?
    echo "ended $status"
done
"""
"""Quotes nothing that it is told: paths come as arguments."""

END_SECONDS_MAX: Final = 10


class Tree:
    """The volume as a script sees and changes it."""

    def __init__(self, holder: "subprocess.Popen[str]", scratch: Path) -> None:
        self._holder = holder
        self.root = Path(f"/proc/{holder.pid}/root") / scratch.relative_to("/") / "tree"

    def run(self, script: Path) -> None:
        """Runs ``script`` with the tree's path; what it prints goes to standard error.  Raises LocalRefusal where it fails."""
        assert self._holder.stdin is not None and self._holder.stdout is not None
        self._holder.stdin.write(f"{script}\n")
        self._holder.stdin.flush()
        answer = self._holder.stdout.readline().split()
        if answer != ["ended", "0"]:
            status = answer[1] if len(answer) == 2 else "no answer"
            raise LocalRefusal(
                f"the script {script} ended with {status}", hint="no image was made; mend it and bundle again"
            )


@contextmanager
def tree(volume: Path, below: Sequence[str]) -> Iterator[Tree]:
    """A tree over ``volume`` and the file systems mounted ``below`` it; nothing of it remains afterwards."""
    with tempfile.TemporaryDirectory(prefix="amiable-tree-") as folder:
        scratch = Path(folder).resolve()
        enter = ["unshare", "--mount", "--propagation", "private"]
        options = ""
        if os.geteuid() != 0:
            enter, options = ["unshare", "--user", "--map-root-user", "--mount"], ",userxattr"
        holder = subprocess.Popen(
            [
                find_program(enter[0]),
                *enter[1:],
                "/bin/sh",
                "-c",
                MOUNT_SCRIPT,
                "sh",
                str(scratch),
                str(volume),
                options,
                *below,
            ],
            env={**os.environ, "PATH": search_path()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != "ready\n":
                raise LocalRefusal(
                    "the tree for the script could not be laid over the volume (overlayfs in a mount namespace)",
                    hint="bundle without --script, or on a host that allows it: as root, on Linux 5.11 or newer",
                    exit_code=69,
                )
            yield Tree(holder, scratch)
        except BaseException:
            _kill(holder)  # the script too: it may be what is being waited for
            raise
        finally:
            _end(holder)


def _kill(holder: "subprocess.Popen[str]") -> None:
    """Ends the holder and what it runs at once."""
    with suppress(ProcessLookupError):
        os.killpg(holder.pid, signal.SIGKILL)


def _end(holder: "subprocess.Popen[str]") -> None:
    """Ends the holder, and with it the namespace."""
    with suppress(OSError):
        if holder.stdin is not None:
            holder.stdin.close()
    try:
        holder.wait(END_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        _kill(holder)
        holder.wait()
    if holder.stdout is not None:
        holder.stdout.close()
