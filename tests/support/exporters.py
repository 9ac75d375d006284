"""The exporter of a data directory, as tests end it and see what it serves."""

import json
import signal
from pathlib import Path

from amiable.vm import exporter


def stop_exporter(data: Path) -> bool:
    """Ends the exporter, where one runs; whether it has ended."""
    found = exporter.find(data)
    return found is None or found.end(wait_seconds=exporter.END_SECONDS_MAX, first=signal.SIGTERM)


def exported_volumes(data: Path) -> list[str]:
    """The ids of the volumes that are served, as the exporter's record has them."""
    record = data / "exporter" / "exports.json"
    return [str(each["volume"]) for each in json.loads(record.read_bytes())] if record.exists() else []
