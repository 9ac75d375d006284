"""Bundle and unbundle against the classic pipeline, in one run: seconds, MB/s, CPU seconds, sizes, ratios, and our own bounds.

    python bench/bundle.py [IMAGE] [--rounds 5] [--data-mib 1024] [--json]

The classic pipeline is ``tar -S | gzip -6 | openssl enc -aes-128-cbc | split`` with a SHA-1 of the stream and of every part, and back;
a second row has ``pigz`` in the place of ``gzip``.  Bundles of all three are opened by us as well.  Without IMAGE a disk of real
operating-system files is made from this host's ``/usr``.  All sides leave their output durable (ours by fsync, the others by
``sync``).  Rounds interleave the sides, and before each the image is read once, so that all find it in the page cache.

*Bound* is the time of the slowest stage alone, on all cores where the stage can use them: nothing that does this work in stages is
faster.  Each is the pipeline's own code with the pipeline's own number of threads.  On few cores the stages share them, so their CPU
seconds together, spread over all cores, are a second bound, above the first: on two cores the share of the first cannot come near 1.
*assured*: with the sidecar, as the command line makes and checks it.  *Memory* is the peak of a process of its own.  The sparse
image has the same amount of data in ten times the size.
"""

import argparse
import datetime
import hashlib
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.x509.oid import NameOID

from amiable.bundle import keys, pipeline, sparse_tar, unbundle
from amiable.bundle.assurance import read_beside
from amiable.bundle.direct_writer import DirectWriter
from amiable.bundle.dsse import load_trusted_keys
from amiable.bundle.inflate import PIECE_BYTES, inflate
from amiable.bundle.layout import find_extents, open_image_file
from amiable.bundle.manifest_xml import read_manifest, write_manifest
from amiable.bundle.parts import HandedOn, PartCutter, PartFiles, folder_opener, read_parts
from amiable.bundle.recorder import Recorder
from amiable.model.manifest import Manifest, Part, WrappedKey
from amiable.model.units import MIB

KEY = "000102030405060708090a0b0c0d0e0f"
CLASSIC_BUNDLE = """
set -euo pipefail
cd "$2"
tar -c -h -S --owner 0 --group 0 -C "$(dirname "$1")" "$(basename "$1")" | tee >(openssl sha1 -r > digest) \\
  | $4 -6 | openssl enc -e -aes-128-cbc -K $3 -iv $3 | split -b 10485760 -d -a 4 - part.
for part in part.*; do openssl sha1 -r < "$part"; done > digests
sync part.* digests
"""
CLASSIC_UNBUNDLE = """
set -euo pipefail
cd "$2"
for part in part.*; do openssl sha1 -r < "$part"; done | cmp - digests
cat part.* | openssl enc -d -aes-128-cbc -K $3 -iv $3 | $4 -dc | tee >(openssl sha1 -r > again) | tar -x -S -C out
sync "out/$(basename "$1")"
"""
TOOLS = ("gzip", "pigz")
OURS = ("ours", "assured")
SIDES = (*OURS, *TOOLS)
SPARSE_TIMES = 10
SPARSE_ROUNDS_MAX = 3
RUN_MIB = 4


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


def make_image(path: Path, data_mib: int, *, times: int = 1) -> None:
    """A disk with ``data_mib`` of this host's own files, ``times`` as large: runs of data, as long holes after each."""
    left, at = data_mib * MIB, 0
    with path.open("wb") as disk:
        for piece in host_files():
            piece = piece[: min(len(piece), left)]
            if at % (times * RUN_MIB * MIB) >= RUN_MIB * MIB:
                at = (at // (times * RUN_MIB * MIB) + 1) * times * RUN_MIB * MIB
            os.pwrite(disk.fileno(), piece, at)
            at, left = at + len(piece), left - len(piece)
            if not left:
                break
        disk.truncate(max(data_mib * times * MIB, at))


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
    """The ways over one image, each in a folder of its own."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image = image
        self.folders = {side: folder / side for side in SIDES}
        self.key_pem, self.certificate_pem = make_pair()
        pair = (self.certificate_pem, self.key_pem, self.certificate_pem)
        self.recipe = pipeline.Recipe(image, "image", "123456789012", "x86_64", *pair)

    def clear(self) -> None:
        """Empties the folders."""
        for folder in self.folders.values():
            shutil.rmtree(folder, ignore_errors=True)
            (folder / "out").mkdir(parents=True)

    def warm(self) -> None:
        """Brings the image's data into the page cache, and what was written before out of the way."""
        with self.image.open("rb", buffering=0) as file:
            for offset, length in find_extents(file.fileno(), self.image.stat().st_size) or []:
                for at in range(offset, offset + length, MIB):
                    os.pread(file.fileno(), MIB, at)
        subprocess.run(["sync"], check=True)

    def bundle(self, side: str) -> None:
        """Writes a bundle by Amiable, or by the classic tools with ``side`` as compressor."""
        if side in OURS:
            with Recorder() if side == "assured" else nullcontext() as recorder:
                pipeline.create(self.recipe, self.folders[side], recorder=recorder)
        else:
            self._run(CLASSIC_BUNDLE, side)

    def unbundle(self, side: str) -> None:
        """Opens a classic bundle by the classic tools."""
        self._run(CLASSIC_UNBUNDLE, side)

    def open(self, side: str) -> None:
        """Opens any of the bundles by Amiable."""
        folder = self.folders[side]
        path = folder / "image.manifest.xml"
        if side not in OURS:
            self.describe(side)
        assurance = read_beside(path, read_manifest(path.read_bytes()), load_trusted_keys(self.certificate_pem))
        assert (assurance is not None) == (side == "assured")
        bundle = unbundle.find_bundle(path, self.certificate_pem, assurance=assurance)
        unbundle.unbundle(bundle, folder / "out" / self.image.name, private_key_pem=self.key_pem)

    def describe(self, side: str) -> None:
        """Writes the manifest that the classic tools' bundle lacks here."""
        folder, public_key = self.folders[side], keys.load_public_keys(self.certificate_pem)[0]
        secret = bytes.fromhex(KEY)
        wrapped = WrappedKey(keys.wrap(secret, public_key), keys.wrap(secret, public_key))
        digests = [line.split()[0] for line in (folder / "digests").read_text().splitlines()]
        files = sorted(folder.glob("part.*"))
        manifest = Manifest(
            name="image",
            account_id="123456789012",
            image_sha1=(folder / "digest").read_text().split()[0],
            size_bytes=self.image.stat().st_size,
            bundled_size_bytes=sum(file.stat().st_size for file in files),
            ec2=wrapped,
            user=wrapped,
            parts=tuple(Part(at, file.name, sha1) for at, (file, sha1) in enumerate(zip(files, digests, strict=True))),
            architecture="x86_64",
        )
        document = write_manifest(manifest, keys.load_private_key(self.key_pem))
        (folder / "image.manifest.xml").write_bytes(document)

    def _run(self, script: str, tool: str) -> None:
        subprocess.run(["bash", "-c", script, "classic", self.image, self.folders[tool], KEY, tool], check=True)

    def bundle_bytes(self, side: str) -> int:
        """Bytes of the parts."""
        return sum(path.stat().st_size for path in self.folders[side].glob("*part.*"))

    def check(self, side: str) -> None:
        """The image must have come back; makes room for the next who opens it."""
        out = self.folders[side] / "out" / self.image.name
        subprocess.run(["cmp", self.image, out], check=True)
        out.unlink()


def run(sides: Sides, rounds: int) -> dict[str, list[Measure]]:
    """``rounds`` of all, interleaved, in turning order."""
    measures: dict[str, list[Measure]] = {}

    def take(number: int, what: str, work: Callable[[], object]) -> None:
        sides.warm()
        taken = measure(work)
        measures.setdefault(what, []).append(taken)
        load = os.getloadavg()[0]
        print(f"round {number}: {what}: {taken.wall_seconds:.2f} s, load {load:.1f}", file=sys.stderr, flush=True)

    for number in range(1, rounds + 1):
        sides.clear()
        order = SIDES if number % 2 else SIDES[::-1]
        for side in order:
            take(number, f"bundle {side}", partial(sides.bundle, side))
        for side in order:
            take(number, f"open {side}", partial(sides.open, side))
            sides.check(side)
            if side not in OURS:
                take(number, f"unbundle {side}", partial(sides.unbundle, side))
                sides.check(side)
    return measures


# ── the stages alone ────────────────────────────────────────────────────────────────────────────────────────────────────


def time_stages(sides: Sides, folder: Path, rounds: int) -> dict[str, dict[str, Measure]]:
    """What each stage takes alone, medians of ``rounds``: of bundling, and of unbundling a bundle of ours."""
    with open_image_file(sides.image) as layout:
        header = sparse_tar.header("image", layout.size_bytes, layout.extents)
        stages: dict[str, dict[str, list[Measure]]] = {"bundle": {}, "unbundle": {}}

        def chunks() -> Iterator[bytearray]:
            return pipeline.tar_chunks(header, layout, None)

        def clock(verb: str, stage: str, work: Callable[[], object]) -> None:
            stages[verb][stage] = []
            for _ in range(rounds):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                sides.warm()
                stages[verb][stage].append(measure(work))

        held = list(chunks())
        clock("bundle", "read", lambda: sum(map(len, chunks())))
        clock("bundle", "SHA-1", lambda: [hashlib.sha1(chunk).digest() for chunk in held])
        deflated: list[bytes] = []

        def deflate() -> None:
            deflated[:] = pool.map(lambda chunk: pipeline.deflate(chunk, pipeline.LEVEL)[0], held)

        with ThreadPoolExecutor(min(pipeline.WORKERS_MAX, os.cpu_count() or 1)) as pool:
            clock("bundle", "deflate", deflate)
        held.clear()
    clock("bundle", "encrypt, cut, write", lambda: _cut(deflated, folder))
    clock("unbundle", "fetch, decrypt", lambda: sum(map(len, _fetch(sides))))
    gzip = list(_fetch(sides))
    clock("unbundle", "inflate", lambda: sum(map(len, inflate(iter(gzip)))))
    plain = list(inflate(iter(gzip)))
    clock("unbundle", "SHA-1", lambda: [hashlib.sha1(piece).digest() for piece in plain])
    clock("unbundle", "write", lambda: _write(plain, folder / "image"))
    shutil.rmtree(folder)
    return {verb: medians(taken) for verb, taken in stages.items()}


def _cut(deflated: list[bytes], folder: Path) -> None:
    encryptor = Cipher(algorithms.AES(bytes(16)), modes.CBC(bytes(16))).encryptor()
    with HandedOn(PartFiles(folder).write, workers=1, waiting_max=pipeline.PARTS_WAITING_MAX) as sink:
        cutter = PartCutter(sink, "stage", digits=4, encryptor=encryptor)
        for data in deflated:
            cutter.write(data)
        cutter.write(bytes(-sum(map(len, deflated)) % 16))
        cutter.finish()
        sink.finish()


def _fetch(sides: Sides) -> Iterator[bytearray]:
    manifest = read_manifest((sides.folders["ours"] / "image.manifest.xml").read_bytes())
    key, iv = unbundle.unwrap_keys(manifest, keys.load_private_key(sides.key_pem))
    return unbundle.decrypt(read_parts(manifest, folder_opener(sides.folders["ours"])), key, iv)


def _write(plain: list[bytes], path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        writer = DirectWriter(file.fileno())
        for at, piece in enumerate(plain):
            writer.write(at * PIECE_BYTES, piece)
        writer.finish(len(plain) * PIECE_BYTES)
        os.fsync(file.fileno())


# ── the other sizes ─────────────────────────────────────────────────────────────────────────────────────────────────────


def peak_mib(sides: Sides, image: Path, folder: Path) -> float:
    """The peak memory of a process that bundles ``image`` and opens the bundle."""
    folder.mkdir()
    (folder / "crt").write_bytes(sides.certificate_pem)
    (folder / "key").write_bytes(sides.key_pem)
    command: list[str | Path] = [sys.executable, __file__, "--peak", folder, image]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    shutil.rmtree(folder)
    return int(told.stdout) / 1024


def tell_peak(image: Path, folder: Path) -> None:
    """Bundles ``image``, opens the bundle, and prints the KiB that this process had at most."""
    certificate, key = (folder / "crt").read_bytes(), (folder / "key").read_bytes()
    recipe = pipeline.Recipe(image, "peak", "123456789012", "x86_64", certificate, key, certificate)
    bundle = unbundle.find_bundle(pipeline.create(recipe, folder), certificate)
    unbundle.unbundle(bundle, folder / "back", private_key_pem=key)
    print(
        next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    )


def sparse_seconds(image: Path, folder: Path, rounds: int) -> dict[str, float]:
    """Medians of bundling and opening ``image`` by us."""
    taken: dict[str, list[float]] = {"bundle": [], "unbundle": []}
    there = Sides(image, folder)
    for _ in range(rounds):
        there.clear()
        for verb, work in (("bundle", there.bundle), ("unbundle", there.open)):
            there.warm()
            taken[verb].append(measure(partial(work, "ours")).wall_seconds)
    shutil.rmtree(folder)
    return {verb: statistics.median(seconds) for verb, seconds in taken.items()}


# ── the figures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def medians(measures: dict[str, list[Measure]]) -> dict[str, Measure]:
    """Of wall clock and of CPU, each by itself."""
    return {
        what: Measure(
            statistics.median(one.wall_seconds for one in taken), statistics.median(one.cpu_seconds for one in taken)
        )
        for what, taken in measures.items()
    }


def tell(data_bytes: int, median: dict[str, Measure], figures: dict[str, float]) -> None:
    """Prints a person's view."""
    for what, taken in median.items():
        speed = data_bytes / 1e6 / taken.wall_seconds
        print(f"{what:16} {taken.wall_seconds:7.2f} s {speed:8.1f} MB/s   CPU {taken.cpu_seconds:6.1f} s")
    for what, value in figures.items():
        print(f"{what:44} {value:8.2f}")


def compare(sides: Sides, median: dict[str, Measure]) -> dict[str, float]:
    """How many times as fast as the classic tools, and how large."""
    figures = {
        f"bundle: {side} / {tool}": median[f"bundle {tool}"].wall_seconds / median[f"bundle {side}"].wall_seconds
        for side in OURS
        for tool in TOOLS
    }
    for tool in TOOLS:
        for side in (*OURS, tool):
            ratio = median[f"unbundle {tool}"].wall_seconds / median[f"open {side}"].wall_seconds
            figures[f"unbundle: {side} bundle by us / {tool} by {tool}"] = ratio
    figures["size: ours / gzip -6"] = sides.bundle_bytes("ours") / sides.bundle_bytes("gzip")
    return figures


def bounds(sides: Sides, folder: Path, dense: dict[str, float], rounds: int) -> dict[str, float]:
    """The stages alone, and our share of the slowest one's speed."""
    figures: dict[str, float] = {}
    for verb, stages in time_stages(sides, folder / "stages", rounds).items():
        figures |= {f"{verb}: stage alone, seconds: {stage}": taken.wall_seconds for stage, taken in stages.items()}
        figures[f"{verb}: bound / ours"] = max(taken.wall_seconds for taken in stages.values()) / dense[verb]
        all_cores = sum(taken.cpu_seconds for taken in stages.values()) / (os.cpu_count() or 1)
        figures[f"{verb}: CPU of all stages on all cores / ours"] = all_cores / dense[verb]
    return figures


def other_sizes(sides: Sides, folder: Path, dense: dict[str, float], rounds: int) -> dict[str, float]:
    """Memory, and what holes cost."""
    sparse = folder / "sparse.img"
    data_mib = sides.image.stat().st_blocks * 512 // MIB
    make_image(sparse, data_mib, times=SPARSE_TIMES)
    figures = {
        "peak MiB": peak_mib(sides, sides.image, folder / "peak"),
        f"peak MiB, {SPARSE_TIMES} times the size": peak_mib(sides, sparse, folder / "peak"),
    }
    for verb, seconds in sparse_seconds(sparse, folder / "sparse", rounds).items():
        figures[f"{verb}: {SPARSE_TIMES} times the size / dense"] = seconds / dense[verb]
    return figures


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Bundle and unbundle against the classic pipeline.")
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data-mib", type=int, default=1024)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peak is not None:
        tell_peak(chosen.image, chosen.peak)
        return
    with tempfile.TemporaryDirectory(prefix="amiable-bench-") as name:
        folder = Path(name)
        image = chosen.image.resolve() if chosen.image else folder / "disk.img"
        if not chosen.image:
            make_image(image, chosen.data_mib)
        sides = Sides(image, folder)
        median = medians(run(sides, chosen.rounds))
        dense = {"bundle": median["bundle ours"].wall_seconds, "unbundle": median["open ours"].wall_seconds}
        figures = compare(sides, median) | bounds(sides, folder, dense, chosen.rounds)
        figures |= other_sizes(sides, folder, dense, min(chosen.rounds, SPARSE_ROUNDS_MAX))
        data_bytes = image.stat().st_blocks * 512
    if chosen.json:
        seconds = {f"{what}: seconds": taken.wall_seconds for what, taken in median.items()}
        cpu = {f"{what}: CPU seconds": taken.cpu_seconds for what, taken in median.items()}
        print(json.dumps({what: round(value, 3) for what, value in (seconds | cpu | figures).items()}, indent=2))
    else:
        tell(data_bytes, median, figures)


if __name__ == "__main__":
    main()
