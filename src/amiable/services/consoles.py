"""What outlives a machine of its console: the post that GetConsoleOutput answers with, and the whole log."""

import logging
from typing import Final

from sqlalchemy.exc import OperationalError

from amiable.database import consoles
from amiable.database.consoles import Post
from amiable.services import Services
from amiable.vm import console, console_log
from amiable.vm.directory import Directory

log = logging.getLogger("amiable.consoles")

POST_BYTES_MAX: Final = 64 * 1024


def post(services: Services, instance_id: str, directory: Directory) -> None:
    """Posts the console's last bytes as they are now."""
    text = console.tail(directory, POST_BYTES_MAX)
    with services.database.write() as c:
        consoles.put_post(c, instance_id, Post(services.now(), text))


def keep(services: Services, instance_id: str, boot: int, directory: Directory) -> None:
    """Posts what the console said last and keeps the log of a machine that has ended; the end goes on where it cannot be kept."""
    try:
        post(services, instance_id, directory)
        console_log.keep(services.data, instance_id, boot, directory)
    except (OSError, OperationalError) as error:  # a full disk, or something of a guest's own in the log's place
        log.warning("%s: its console cannot be kept: %s", instance_id, error)
