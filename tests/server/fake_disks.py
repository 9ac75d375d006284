"""Disks that are values: files of numbered cells, and the block layer of a QEMU or qemu-storage-daemon over them, as QMP and NBD tell it.

A disk is a row of cells, two to a block.  A cell holds the number of the write that made it; a cell that nothing wrote is not there.  So
a snapshot says of each cell when it was written, and whether all its disks were taken at one moment.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from amiable.blocks.nbd_client import DEPTH, NbdFailed, Status, bitmap_context
from amiable.model.units import BLOCK_BYTES
from amiable.services import Services
from amiable.vm.qmp import QmpError
from amiable.vm.volume_files import QCOW2_HEAD

CELL_BYTES: Final = BLOCK_BYTES // 2
CELLS: Final = 5
"""How many of a disk's cells are ever written."""
Cells = dict[int, int]


def cells_of(services: Services, snapshot_id: str) -> Cells:
    """What a snapshot holds."""
    found: Cells = {}
    for index, _ in services.blocks.blocks_of(snapshot_id):
        data = services.blocks.read(snapshot_id, index)
        assert data is not None
        for place in range(2):
            number = int.from_bytes(data[place * CELL_BYTES :][:8], "big")
            if number:
                found[2 * index + place] = number
    return found


@dataclass
class Bitmap:
    """A dirty bitmap; one that its QEMU could not store at its end is inconsistent."""

    is_recording: bool
    is_inconsistent: bool = False
    cells: list[int] = field(default_factory=list)


class Qcow2:
    """A file that is open, wherever it is moved.  Bitmaps are stored when a writer closes it in order."""

    def __init__(self, path: Path, *, is_writer: bool) -> None:
        self.name, self._is_writer = path.name, is_writer
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        body = os.pread(self._descriptor, 1 << 20, 0)
        self.size_bytes = int(QCOW2_HEAD.unpack(body[: QCOW2_HEAD.size])[1])
        facts = json.loads(body[QCOW2_HEAD.size :])
        self.cells: Cells = {int(cell): number for cell, number in facts["cells"].items()}
        self._stored: dict[str, Any] = facts["bitmaps"]
        self.bitmaps = {name: Bitmap(**each) for name, each in self._stored.items()}
        if is_writer:
            for each in self._stored.values():
                each["is_inconsistent"] = True
            self.save()

    def save(self) -> None:
        os.ftruncate(
            self._descriptor, os.pwrite(self._descriptor, encode(self.size_bytes, self.cells, self._stored), 0)
        )

    def close(self, *, in_order: bool) -> None:
        if self._descriptor < 0:
            return
        if self._is_writer and in_order:
            self._stored = {name: vars(each) for name, each in self.bitmaps.items()}
            self.save()
        os.close(self._descriptor)
        self._descriptor = -1


def encode(size_bytes: int, cells: Mapping[int, int] = {}, bitmaps: Mapping[str, Any] = {}) -> bytes:
    """A file that long."""
    return QCOW2_HEAD.pack(b"QFI\xfb", size_bytes, 0) + json.dumps({"cells": cells, "bitmaps": bitmaps}).encode()


def read_cells(path: Path) -> Cells:
    """What a file holds, without its base."""
    file = Qcow2(path, is_writer=False)
    file.close(in_order=True)
    return file.cells


def resize(path: Path, size_bytes: int) -> None:
    file = Qcow2(path, is_writer=True)
    file.size_bytes = max(file.size_bytes, size_bytes)
    file.close(in_order=True)


@dataclass
class Node:
    """``below`` are the names of the nodes that it uses; a filter's ``saved`` what it copied before it was overwritten."""

    driver: str
    below: list[str]
    file: Qcow2 | None = None
    saved: dict[int, int | None] = field(default_factory=dict)


class Blocks:
    """The block layer of one process; commands that it refuses raise QmpError."""

    def __init__(self, folder: Path, opens: Callable[[str], None], connects: Callable[[str], bool]) -> None:
        """``opens`` is told of each file that is opened to be written, ``connects`` whether a base is served."""
        self._folder, self._opens, self._connects = folder, opens, connects
        self.nodes: dict[str, Node] = {}
        self.devices: dict[str, dict[str, str]] = {}
        self.exports: dict[str, dict[str, Any]] = {}
        self.is_serving = False

    def execute(self, command: str, a: dict[str, Any]) -> Any:
        return getattr(self, "_" + command.replace("-", "_"))(a)

    def close(self, *, in_order: bool) -> None:
        for node in self.nodes.values():
            if node.file is not None:
                node.file.close(in_order=in_order)

    # ── what the guest does ─────────────────────────────────────────────────────────────────────────────────────────────

    def disks(self) -> dict[str, str]:
        """Volume id → the node at which its device writes."""
        found = ((self.overlay(each["drive"]), each["drive"]) for each in self.devices.values())
        return {file.name.removesuffix(".qcow2"): drive for file, drive in found if file is not None}

    def write(self, drive: str, cell: int, number: int) -> None:
        node, file = self.nodes[drive], self.overlay(drive)
        assert file is not None
        if node.driver == "copy-before-write":
            node.saved.setdefault(cell, file.cells.get(cell))
        file.cells[cell] = number
        for bitmap in file.bitmaps.values():
            if bitmap.is_recording and cell not in bitmap.cells:
                bitmap.cells.append(cell)
        file.save()

    def overlay(self, name: str) -> Qcow2 | None:
        """The file at the end of a chain of nodes."""
        node = self.nodes[name]
        while node.file is None and node.below:
            node = self.nodes[node.below[0]]
        return node.file

    # ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _blockdev_add(self, a: dict[str, Any]) -> None:
        name, driver = a["node-name"], a["driver"]
        if name in self.nodes:
            raise QmpError(f"GenericError: Duplicate nodes with node-name='{name}'")
        node = Node(driver, [each for key in ("file", "target", "backing") if isinstance(each := a.get(key), str)])
        missing = [each for each in node.below if each not in self.nodes]
        if missing:
            raise QmpError(f"GenericError: Cannot find device='' nor node-name='{missing[0]}'")
        if driver == "nbd" and not self._connects(a["server"]["path"]):
            raise QmpError("GenericError: Failed to connect")
        if driver == "qcow2":
            path = self._folder / a["file"]["filename"]
            if not path.exists():
                raise QmpError(f"GenericError: Could not open '{path.name}': No such file or directory")
            is_writer = not a.get("read-only", False)
            if is_writer:
                self._opens(path.name)
            node.file = Qcow2(path, is_writer=is_writer)
        self.nodes[name] = node

    def _blockdev_del(self, a: dict[str, Any]) -> None:
        name = a["node-name"]
        if name not in self.nodes:
            raise QmpError(f"GenericError: Failed to find node with node-name='{name}'")
        users = [other for other, node in self.nodes.items() if name in node.below]
        users += [device for device, each in self.devices.items() if each["drive"] == name]
        users += [export for export, each in self.exports.items() if each["node-name"] == name]
        if users:
            raise QmpError(f"GenericError: Node '{name}' is busy: node is used as node of {users}")
        file = self.nodes.pop(name).file
        if file is not None:
            file.close(in_order=True)

    def _query_named_block_nodes(self, _: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"node-name": name, "drv": node.driver, "file": "" if node.file is None else node.file.name}
            | ({} if node.file is None else {"dirty-bitmaps": [*map(_told, *_split(node.file.bitmaps))]})
            for name, node in self.nodes.items()
        ]

    def _query_block(self, _: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "qdev": f"/machine/peripheral/{name}/virtio-backend",
                "inserted": {
                    "node-name": device["drive"],
                    "image": {"filename": file.name if (file := self.overlay(device["drive"])) is not None else ""},
                },
            }
            for name, device in self.devices.items()
        ]

    def _x_debug_query_block_graph(self, _: dict[str, Any]) -> dict[str, Any]:
        numbers = {name: number for number, name in enumerate(self.nodes)}
        edges = [
            {"parent": numbers[name], "child": numbers[node.below[0]], "name": "file"}
            for name, node in self.nodes.items()
            if node.below and node.file is None
        ]
        return {
            "nodes": [{"id": number, "name": name, "type": "block-driver"} for name, number in numbers.items()],
            "edges": edges,
        }

    def _block_resize(self, a: dict[str, Any]) -> None:
        file = self.nodes[a["node-name"]].file
        assert file is not None
        file.size_bytes = a["size"]
        file.save()

    def _bitmaps(self, a: dict[str, Any]) -> dict[str, Bitmap]:
        file = self.nodes[a["node"]].file
        assert file is not None
        return file.bitmaps

    def _block_dirty_bitmap_add(self, a: dict[str, Any]) -> None:
        if a["name"] in self._bitmaps(a):
            raise QmpError(f"GenericError: Bitmap already exists: {a['name']}")
        self._bitmaps(a)[a["name"]] = Bitmap(is_recording=True)

    def _block_dirty_bitmap_remove(self, a: dict[str, Any]) -> None:
        if any(each["bitmap"] == (a["node"], a["name"]) for each in self.exports.values()):
            raise QmpError(f"GenericError: Bitmap '{a['name']}' is currently in use by another operation")
        del self._bitmaps(a)[a["name"]]

    def _block_dirty_bitmap_disable(self, a: dict[str, Any]) -> None:
        self._bitmaps(a)[a["name"]].is_recording = False

    # ── devices ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _qom_list(self, a: dict[str, Any]) -> list[dict[str, str]]:
        if a["path"] == "/machine/peripheral":
            return [{"name": name} for name in self.devices]
        slot = a["path"].rpartition("/")[2]
        return [{"name": "child[0]"} for each in self.devices.values() if each["bus"] == slot]

    def _qom_set(self, a: dict[str, Any]) -> None:
        self.devices[a["path"].rpartition("/")[2]]["drive"] = a["value"]

    def _device_add(self, a: dict[str, Any]) -> None:
        if a["drive"] not in self.nodes:
            raise QmpError(f"GenericError: Property 'drive' can't find value '{a['drive']}'")
        self.devices[a["id"]] = {"drive": a["drive"], "bus": a.get("bus", "")}

    def _block_set_io_throttle(self, _: dict[str, Any]) -> None:
        return None

    # ── exports ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _nbd_server_start(self, a: dict[str, Any]) -> None:
        if self.is_serving:
            raise QmpError("GenericError: NBD server already running")
        (self._folder / a["addr"]["data"]["path"]).touch()
        self.is_serving = True

    def _nbd_server_stop(self, _: dict[str, Any]) -> None:
        if not self.is_serving:
            raise QmpError("GenericError: NBD server not running")
        self.is_serving = False
        self.exports.clear()

    def _query_block_exports(self, _: dict[str, Any]) -> list[dict[str, str]]:
        return [{"id": name} for name in self.exports]

    def _block_export_add(self, a: dict[str, Any]) -> None:
        if not self.is_serving:
            raise QmpError("GenericError: NBD server not running")
        (known,) = a.get("bitmaps") or [None]
        bitmap = None if known is None else (known["node"], known["name"])
        if bitmap is not None and self._bitmaps(known)[known["name"]].is_recording:
            raise QmpError("GenericError: Enabled bitmap is incompatible with readonly export")
        self.exports[a["id"]] = {"node-name": a["node-name"], "bitmap": bitmap}

    def _block_export_del(self, a: dict[str, Any]) -> None:
        if a["id"] not in self.exports:
            raise QmpError(f"GenericError: Export '{a['id']}' is not found")
        del self.exports[a["id"]]


def _split(bitmaps: dict[str, Bitmap]) -> tuple[list[str], list[Bitmap]]:
    return list(bitmaps), list(bitmaps.values())


def _told(name: str, bitmap: Bitmap) -> dict[str, Any]:
    return {"name": name, "recording": bitmap.is_recording, "inconsistent": bitmap.is_inconsistent}


@dataclass
class Connection:
    """To the NBD server of a process: its block layer, whether it lives, and the base below a volume, None where it is not served."""

    blocks: Blocks
    step: Callable[[], None]
    is_alive: Callable[[], bool]
    base: Callable[[str], Cells | None]


class Client:
    """Stands for :class:`amiable.blocks.nbd_client.NbdClient`."""

    def __init__(self, connection: Connection, export: str, *, context: bytes, wait: object) -> None:
        self._at, self._name = connection, export
        bitmap = self._export()["bitmap"]
        known = {DEPTH, *([] if bitmap is None else [bitmap_context(bitmap[1])])}
        if context not in known:
            raise NbdFailed("the server does not tell holes from data")
        self._file = self._at.blocks.overlay(self._export()["node-name"])
        assert self._file is not None
        self.size_bytes = self._file.size_bytes

    def _export(self) -> dict[str, Any]:
        self._at.step()
        found = self._at.blocks.exports.get(self._name) if self._at.is_alive() else None
        if found is None:
            raise NbdFailed("the server closed the connection")
        return found

    def _cells(self) -> Cells:
        """The cells of the volume's own layer as the export shows them."""
        export = self._export()
        assert self._file is not None
        cells: dict[int, int | None] = dict(self._file.cells)
        node = self._at.blocks.nodes[export["node-name"]]
        if node.driver == "snapshot-access":
            cells |= self._at.blocks.nodes[node.below[0]].saved
        return {cell: number for cell, number in cells.items() if number is not None}

    def runs(self, context: bytes) -> Iterator[tuple[int, int, int]]:
        changed: set[int] = set(self._cells())
        if context != DEPTH:
            node, name = self._export()["bitmap"]
            file = self._at.blocks.nodes[node].file
            assert file is not None
            changed = set(file.bitmaps[name].cells)
        for cell in range(CELLS):
            yield cell * CELL_BYTES, CELL_BYTES, int(cell in changed)
        yield CELLS * CELL_BYTES, self.size_bytes - CELLS * CELL_BYTES, 0

    def statuses(self) -> Iterator[Status]:
        own, base = self._cells(), self._base()
        for cell in range(CELLS):
            yield Status(cell * CELL_BYTES, CELL_BYTES, cell not in own and cell not in base, cell not in own)
        yield Status(CELLS * CELL_BYTES, self.size_bytes - CELLS * CELL_BYTES, True, True)

    def _base(self) -> Cells:
        assert self._file is not None
        found = self._at.base(self._file.name.removesuffix(".qcow2"))
        if found is None:
            raise NbdFailed("it cannot be read: what lies below is not served")
        return found

    def read_into(self, view: memoryview, offset: int) -> None:
        cells = self._base() | self._cells()
        for cell in range(offset // CELL_BYTES, (offset + len(view)) // CELL_BYTES):
            at = cell * CELL_BYTES - offset
            view[at : at + 8] = cells.get(cell, 0).to_bytes(8, "big")


@contextlib.contextmanager
def opened(connection: Connection) -> Iterator[Connection]:
    """Stands for ``disk_export.connected``."""
    connection.step()
    yield connection
