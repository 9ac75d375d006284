"""The firmware's own store of variables: the flash file that OVMF reads and writes (OVMF_VARS_4M.fd).

    firmware volume header, 0x48 octets: zeros │ GUID │ length │ _FVH │ … │ checksum │ …
    store header, 28 octets: GUID of authenticated variables │ size │ formatted │ healthy │ …
    variable │ …                                     each begins at a multiple of 4
    0xFF up to the store's size                      then the areas of fault tolerant writes, left as they are

    a variable, 60 octets and its name and data
    AA 55 │ state │ 0 │ attributes, 4 │ count, 8 │ timestamp, 16 │ key index, 4 │ name size, 4 │ data size, 4 │ GUID │ name, UTF-16 │ data

The file may hold a guest's work: what does not add up is refused, never followed.  Signers of authenticated variables lie in a variable
of the firmware's own, ``certdb``; here each is its variable's ``digest``.
Source: edk2, MdeModulePkg/Include/Guid/VariableFormat.h, SecurityPkg/Library/AuthVariableLib.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from amiable.model.uefi import TIME_BYTES, Variable
from amiable.rules.uefi_data import ATTRIBUTES_MAX, VARIABLES_MAX, UnreadableStore, check_name

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
VOLUME_HEADER_BYTES: Final = 0x48
STORE_HEADER: Final = struct.Struct("<16sIBBHI")
VARIABLE: Final = struct.Struct("<HBBIQ16sIII16s")
VARIABLES_AT: Final = VOLUME_HEADER_BYTES + STORE_HEADER.size
START: Final = 0x55AA
ADDED: Final = 0x3F
BEING_REPLACED: Final = 0x3E
"""Still the value, unless a newer one is complete."""
FORMATTED, HEALTHY = 0x5A, 0xFE
NVRAM_GUID: Final = bytes.fromhex("8d2bf1ff96768b4ca9852747075b4f50")
STORE_GUID: Final = bytes.fromhex("782cf3aa7b949a43a1802e144ec37792")
CERTDB: Final = ("certdb", bytes.fromhex("6ee5bed9dc75d949b4d7b534210f637a"))
CERTDB_ATTRIBUTES: Final = 0x27
CERTDB_ENTRY: Final = struct.Struct("<16sIII")


def read_store(file: bytes) -> tuple[Variable, ...]:
    """The variables that hold, in the file's order; raises UnreadableStore."""
    end = _store_end(file)
    newest: dict[tuple[str, bytes], Variable] = {}
    done: set[tuple[str, bytes]] = set()
    for state, variable in _records(file, end):
        key = variable.name, variable.guid
        if state == ADDED or (state == BEING_REPLACED and key not in done):
            newest[key] = variable
        if state == ADDED:
            done.add(key)
    certdb = newest.pop(CERTDB, None)
    digests = {} if certdb is None else dict(_read_certdb(certdb.data))
    return tuple(
        Variable(
            it.name, it.guid, it.attributes, it.data, it.timestamp, digests.get(key) if it.is_authenticated else None
        )
        for key, it in newest.items()
    )


def write_store(template: bytes, variables: Sequence[Variable]) -> bytes:
    """The file ``template`` with ``variables`` instead of its own; raises UnreadableStore where they do not fit."""
    end = _store_end(template)
    signers = [it for it in variables if it.digest is not None]
    all_of_them = [*variables]
    if signers:
        all_of_them.append(Variable(*CERTDB, CERTDB_ATTRIBUTES, _write_certdb(signers)))
    body = b"".join(map(_write_record, all_of_them))
    room = end - VARIABLES_AT
    if len(body) > room:
        raise UnreadableStore(f"Its variables take {len(body)} octets, and the firmware has {room}.")
    return template[:VARIABLES_AT] + body + b"\xff" * (room - len(body)) + template[end:]


def _store_end(file: bytes) -> int:
    """Where the store ends in the file."""
    if not VARIABLES_AT < len(file) <= FILE_BYTES_MAX:
        raise UnreadableStore("The firmware's file has no store's size.")
    volume_bytes = int.from_bytes(file[0x20:0x28], "little")
    header_words = struct.unpack(f"<{VOLUME_HEADER_BYTES // 2}H", file[:VOLUME_HEADER_BYTES])
    if file[0x10:0x20] != NVRAM_GUID or file[0x28:0x2C] != b"_FVH" or sum(header_words) & 0xFFFF:
        raise UnreadableStore("The firmware's file does not begin with the header of a store.")
    guid, size, format_, state, _, _ = STORE_HEADER.unpack_from(file, VOLUME_HEADER_BYTES)
    if guid != STORE_GUID or format_ != FORMATTED or state != HEALTHY:
        raise UnreadableStore("The firmware's store is not one of authenticated variables in order.")
    end = VOLUME_HEADER_BYTES + int(size)
    if not VARIABLES_AT <= end <= min(len(file), volume_bytes):
        raise UnreadableStore("The firmware's store reaches past its file.")
    return end


def _records(file: bytes, end: int) -> Iterator[tuple[int, Variable]]:
    """Every record with its state, until one does not begin as a record does."""
    at, seen = VARIABLES_AT, 0
    while at + VARIABLE.size <= end:
        start, state, _, attributes, _, timestamp, _, name_bytes, data_bytes, guid = VARIABLE.unpack_from(file, at)
        if start != START:
            return
        at += VARIABLE.size
        seen += 1
        if name_bytes + data_bytes > end - at or seen > VARIABLES_MAX:
            raise UnreadableStore("A variable of the firmware's store reaches past its end.")
        name, data = file[at : at + name_bytes], file[at + name_bytes : at + name_bytes + data_bytes]
        at += -(-(name_bytes + data_bytes) // 4) * 4
        if state not in (ADDED, BEING_REPLACED):
            continue
        if attributes > ATTRIBUTES_MAX:
            raise UnreadableStore("A variable of the firmware's store has unknown attributes.")
        yield state, Variable(_name(name), guid, attributes, data, timestamp if any(timestamp) else None)


def _name(encoded: bytes) -> str:
    try:
        name = encoded.decode("utf-16-le")
        name.encode()
    except UnicodeError:
        raise UnreadableStore("A variable's name is not UTF-16.") from None
    if not name.endswith("\0"):
        raise UnreadableStore("A variable's name does not end.")
    check_name(name[:-1])
    return name[:-1]


def _write_record(it: Variable) -> bytes:
    name = it.name.encode("utf-16-le") + b"\0\0"
    head = VARIABLE.pack(
        START, ADDED, 0, it.attributes, 0, it.timestamp or bytes(TIME_BYTES), 0, len(name), len(it.data), it.guid
    )
    record = head + name + it.data
    return record + b"\xff" * (-len(record) % 4)


def _read_certdb(data: bytes) -> Iterator[tuple[tuple[str, bytes], bytes]]:
    if len(data) < 4 or int.from_bytes(data[:4], "little") != len(data):
        raise UnreadableStore("The firmware's list of signers is damaged.")
    at = 4
    while at < len(data):
        if at + CERTDB_ENTRY.size > len(data):
            raise UnreadableStore("The firmware's list of signers is cut off.")
        guid, node_bytes, name_characters, digest_bytes = CERTDB_ENTRY.unpack_from(data, at)
        name_at = at + CERTDB_ENTRY.size
        digest_at = name_at + 2 * name_characters
        if not node_bytes == digest_at + digest_bytes - at <= len(data) - at:
            raise UnreadableStore("The firmware's list of signers is damaged.")
        yield (_name(data[name_at:digest_at] + b"\0\0"), guid), data[digest_at : digest_at + digest_bytes]
        at += node_bytes


def _write_certdb(signers: Sequence[Variable]) -> bytes:
    entries = []
    for it in signers:
        name, digest = it.name.encode("utf-16-le"), it.digest or b""
        size = CERTDB_ENTRY.size + len(name) + len(digest)
        entries.append(CERTDB_ENTRY.pack(it.guid, size, len(name) // 2, len(digest)) + name + digest)
    body = b"".join(entries)
    return struct.pack("<I", 4 + len(body)) + body
