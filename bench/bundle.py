"""Bundle and unbundle against the classic pipeline, in one run: MB/s, CPU seconds, size, ratios.

    python bench/bundle.py [IMAGE] [--rounds 3] [--json]

The classic pipeline is ``tar -S | gzip -6 | openssl enc -aes-128-cbc | split`` with a SHA-1 of the stream and of every part, and back.
Without IMAGE a disk of real operating-system files is made from this host's ``/usr``: 1 GiB of data by default (``--data-mib``).
Both sides leave their output durable (ours by fsync, the classic one by ``sync``).  Rounds interleave
the two sides, and before each the image is read once, so that both find it in the page cache.
"""

import argparse
import datetime
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from amiable.bundle.layout import find_extents
from amiable.bundle.pipeline import Recipe, create
from amiable.bundle.unbundle import unbundle
from amiable.model.units import MIB

KEY = "000102030405060708090a0b0c0d0e0f"
CLASSIC_BUNDLE = """
set -euo pipefail
cd "$2"
tar -c -h -S --owner 0 --group 0 -C "$(dirname "$1")" "$(basename "$1")" | tee >(openssl sha1 > digest) \\
  | gzip -6 | openssl enc -e -aes-128-cbc -K $3 -iv $3 | split -b 10485760 -d -a 4 - part.
for part in part.*; do openssl sha1 < "$part"; done > digests
sync part.* digests
"""
CLASSIC_UNBUNDLE = """
set -euo pipefail
cd "$2"
for part in part.*; do openssl sha1 < "$part"; done | cmp - digests
cat part.* | openssl enc -d -aes-128-cbc -K $3 -iv $3 | gzip -dc | tee >(openssl sha1 > again) | tar -x -S -C out
sync "out/$(basename "$1")"
"""


@dataclass(frozen=True, slots=True)
class Measure:
    """One run: wall-clock and CPU seconds (children included)."""

    wall_seconds: float
    cpu_seconds: float


def measure(work: Callable[[], object]) -> Measure:
    """How long ``work`` takes."""
    before, start = cpu_seconds(), time.monotonic()
    work()
    return Measure(time.monotonic() - start, cpu_seconds() - before)


def cpu_seconds() -> float:
    """User and system time of this process and its ended children."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def make_image(path: Path, data_mib: int) -> None:
    """A sparse disk with ``data_mib`` of this host's own files, every run of 64 MiB followed by a hole of 64 MiB."""
    left, at = data_mib * MIB, 0
    with path.open("wb") as disk:
        for piece in host_files():
            piece = piece[: min(len(piece), left)]
            if at // (64 * MIB) % 2:
                at = (at // (64 * MIB) + 1) * 64 * MIB
            os.pwrite(disk.fileno(), piece, at)
            at, left = at + len(piece), left - len(piece)
            if not left:
                break
        disk.truncate(-(-at // MIB) * MIB)


def host_files() -> Iterator[bytes]:
    """Contents of files under /usr, over and over, in pieces of at most 1 MiB."""
    while True:
        for folder in ("/usr/lib", "/usr/bin", "/usr/share"):
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                    with path.open("rb") as file:
                        while piece := file.read(MIB):
                            yield piece


def make_pair() -> tuple[bytes, bytes]:
    """A throw-away RSA 2048 key and its certificate, PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    encoding = serialization.Encoding.PEM
    key_pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key_pem, builder.sign(key, hashes.SHA256()).public_bytes(encoding)


class Sides:
    """The two ways over one image, each in a folder of its own."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image = image
        self.ours, self.classic = folder / "ours", folder / "classic"
        self.key_pem, self.certificate_pem = make_pair()
        pair = (self.certificate_pem, self.key_pem, self.certificate_pem)
        self.recipe = Recipe(image, "image", "123456789012", "x86_64", *pair)

    def clear(self) -> None:
        """Empties both folders."""
        for folder in (self.ours, self.classic):
            shutil.rmtree(folder, ignore_errors=True)
            (folder / "out").mkdir(parents=True)

    def warm(self) -> None:
        """Brings the image's data into the page cache."""
        with self.image.open("rb", buffering=0) as file:
            for offset, length in find_extents(file.fileno(), self.image.stat().st_size) or []:
                for at in range(offset, offset + length, MIB):
                    os.pread(file.fileno(), MIB, at)

    def bundle_ours(self) -> None:
        """Writes a bundle by Amiable."""
        create(self.recipe, self.ours)

    def bundle_classic(self) -> None:
        """Writes a bundle by the classic tools."""
        subprocess.run(["bash", "-c", CLASSIC_BUNDLE, "bundle", self.image, self.classic, KEY], check=True)

    def unbundle_ours(self) -> None:
        """Opens Amiable's bundle by Amiable."""
        manifest = self.ours / "image.manifest.xml"
        unbundle(
            manifest,
            self.ours / "out" / self.image.name,
            private_key_pem=self.key_pem,
            certificates_pem=self.certificate_pem,
        )

    def unbundle_classic(self) -> None:
        """Opens the classic tools' bundle by the classic tools."""
        subprocess.run(["bash", "-c", CLASSIC_UNBUNDLE, "unbundle", self.image, self.classic, KEY], check=True)

    def bundle_bytes(self) -> tuple[int, int]:
        """Bytes of the parts: ours, classic."""
        ours = sum(path.stat().st_size for path in self.ours.glob("*.part.*"))
        return ours, sum(path.stat().st_size for path in self.classic.glob("part.*"))

    def check(self) -> None:
        """Both ways must have given the image back."""
        for folder in (self.ours, self.classic):
            subprocess.run(["cmp", self.image, folder / "out" / self.image.name], check=True)


def run(sides: Sides, rounds: int) -> dict[str, list[Measure]]:
    """``rounds`` of all four, interleaved."""
    measures: dict[str, list[Measure]] = {}
    for number in range(rounds):
        sides.clear()
        order = ["classic", "ours"] if number % 2 else ["ours", "classic"]
        for verb in ("bundle", "unbundle"):
            for side in order:
                sides.warm()
                subprocess.run(["sync"], check=True)
                taken = measure(getattr(sides, f"{verb}_{side}"))
                measures.setdefault(f"{verb} {side}", []).append(taken)
                print(f"round {number + 1}: {verb} {side}: {taken.wall_seconds:.2f} s", file=sys.stderr)
        sides.check()
    return measures


def report(data_bytes: int, measures: dict[str, list[Measure]], sizes: tuple[int, int]) -> dict[str, float]:
    """Medians and ratios, ready to print."""
    figures: dict[str, float] = {"data_mb": data_bytes / 1e6}
    for verb in ("bundle", "unbundle"):
        wall = {}
        for side in ("ours", "classic"):
            taken = measures[f"{verb} {side}"]
            wall[side] = statistics.median(one.wall_seconds for one in taken)
            figures[f"{verb}_{side}_mb_per_second"] = data_bytes / 1e6 / wall[side]
            figures[f"{verb}_{side}_cpu_seconds"] = statistics.median(one.cpu_seconds for one in taken)
        figures[f"{verb}_ratio"] = wall["classic"] / wall["ours"]
    figures["size_ratio"] = sizes[0] / sizes[1]
    return {name: round(value, 2) for name, value in figures.items()}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Bundle and unbundle against the classic pipeline.")
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data-mib", type=int, default=1024)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="amiable-bench-") as name:
        image = chosen.image.resolve() if chosen.image else Path(name) / "disk.img"
        if not chosen.image:
            make_image(image, chosen.data_mib)
        sides = Sides(image, Path(name))
        measures = run(sides, chosen.rounds)
        figures = report(image.stat().st_blocks * 512, measures, sides.bundle_bytes())
    if chosen.json:
        print(json.dumps(figures, indent=2))
        return
    for verb in ("bundle", "unbundle"):
        ours, classic = figures[f"{verb}_ours_mb_per_second"], figures[f"{verb}_classic_mb_per_second"]
        cpu, cpu_classic = figures[f"{verb}_ours_cpu_seconds"], figures[f"{verb}_classic_cpu_seconds"]
        print(
            f"{verb:9} {ours:8.1f} MB/s  classic {classic:8.1f} MB/s  ratio {figures[f'{verb}_ratio']:5.2f}x", end="  "
        )
        print(f"CPU {cpu:.1f} s, classic {cpu_classic:.1f} s")
    print(f"size      {figures['size_ratio']:.3f} of gzip -6's; {figures['data_mb']:.0f} MB of data")


if __name__ == "__main__":
    main()
