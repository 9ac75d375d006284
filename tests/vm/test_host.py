"""The host's memory, and a container's share of it."""

from pathlib import Path

from amiable.vm import host


def test_a_containers_limit_is_its_memory(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    physical = host.memory_bytes(limit)
    assert physical > 1 << 20
    for text, expected in (("max\n", physical), ("1048576\n", 1 << 20), (f"{physical * 2}\n", physical)):
        limit.write_text(text)
        assert host.memory_bytes(limit) == expected
