"""The server's start: settings, the data directory's lock, the first account, workers, supervision, one port.

``amiable serve`` execs ``python -m amiable.server``.  SIGTERM and Ctrl-C end the server and leave instances running: QEMU, the
exporter and the network holders are processes of their own session.  A start that is killed at any point is completed by the next one.
"""

import asyncio
import gc
import json
import logging
import os
import shlex
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import uvicorn
from alembic.util import CommandError
from sqlalchemy import make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from amiable.api.accounts import create_account, settle_accounts, settle_networks
from amiable.api.image_digests import settle_digests
from amiable.api.kernels import settle_kernels
from amiable.blocks.objects import ObjectFiles
from amiable.blocks.store import BlockStore
from amiable.database import schema
from amiable.database.connect import Database
from amiable.database.migrate import migrate
from amiable.model.errors import LocalRefusal
from amiable.model.settings import Settings
from amiable.model.units import human_bytes
from amiable.server import limits
from amiable.server.app import build_app
from amiable.server.data_directory import take_data
from amiable.server.ending_signals import ended_by_signals, signals_held, take_signals
from amiable.server.http_protocol import HttpProtocol
from amiable.server.log_format import LogFormat
from amiable.server.refusals import is_disk_full, log_failure
from amiable.server.supervise import Supervisor
from amiable.server.websocket_protocol import WebSocketProtocol
from amiable.server.worker import Workers
from amiable.services import Services
from amiable.services.entropy import Entropy
from amiable.services.identity_signer import make_signers
from amiable.services.installation import open_installation, write_private
from amiable.vm.accelerator import Accelerator, choose_accelerator
from amiable.vm.launcher import raise_descriptor_limit

log = logging.getLogger("amiable.server")

SETTINGS_VARIABLE = "AMIABLE_SERVER_SETTINGS"
BACKLOG = 512
GRACE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class FirstAccount:
    """The administrator's account, and whether this start made it."""

    account_id: str
    access_key_id: str
    is_new: bool


def serve(settings: Settings, *, announce: IO[str]) -> int:
    """Runs the server until a signal; the exit code.  A start that is refused, or ended, leaves nothing behind that was not there."""
    with ExitStack() as undo:
        with signals_held():
            data, lock = take_data(Path(settings.data), undo)
        listener = bind(settings.listen)
        undo.callback(listener.close)
        accelerator = choose_accelerator(data, settings)
        bring_up_to_date(settings.database_url)
        services, workers = open_services(settings, data)
        undo.pop_all()  # facts begin
    settle_accounts(services)
    settle_networks(services)
    settle_kernels(services)
    settle_digests(services)
    first = first_account(services)
    supervisor = Supervisor(services)
    endpoint = endpoint_of(listener)
    try:
        workers.start()
        supervisor.start()
        threading.Thread(target=make_signers, args=(services,), name="identity-signers", daemon=True).start()
        write_private(
            data / "server.json",
            json.dumps({"endpoint": endpoint, "pid": os.getpid(), "region": settings.region}).encode(),
        )
        announce.write(banner(settings, data, endpoint, first, accelerator))
        announce.flush()
        run_http(build_app(services), listener)
    finally:
        (data / "server.json").unlink(missing_ok=True)
        supervisor.stop()
        workers.stop()
        services.blocks.close()
        services.database.close()
        listener.close()
        lock.close()
    return 0


def bind(listen: str) -> socket.socket:
    """A listening socket on ``HOST:PORT``; a busy port is refused by name."""
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted sockets inherit it.  Without it an answer's body waits 40 ms behind its head for the client's delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host.strip("[]"), int(port)))
        listener.listen(BACKLOG)
    except (OSError, UnicodeError) as error:  # UnicodeError: what can be no host's name
        listener.close()
        raise LocalRefusal(
            f"cannot listen on {listen}: {getattr(error, 'strerror', None) or error}",
            hint="choose another address with --listen HOST:PORT (port 0: any free one)",
            exit_code=69,
        ) from None
    return listener


def endpoint_of(listener: socket.socket) -> str:
    """``http://HOST:PORT`` as a client on this host dials it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def bring_up_to_date(url: str) -> None:
    """Gives the database at ``url`` this version's tables; names the cause where it cannot be used."""
    try:
        make_url(url)
    except (ArgumentError, ValueError):  # neither repeats a password
        raise LocalRefusal(
            "database_url is no SQLAlchemy URL",
            hint="sqlite:////DIR/amiable.db, or leave it out: SQLite in the data directory",
            exit_code=2,
        ) from None
    try:
        migrate(url)
    except (SQLAlchemyError, CommandError, ImportError) as error:  # CommandError: another version's tables
        words = str(error.orig) if isinstance(error, DBAPIError) else str(error)
        raise LocalRefusal(
            f"the database cannot be used: {words.strip()}",
            hint="what --database-url names, and which version of Amiable wrote it",
            exit_code=74,
        ) from error


def open_services(settings: Settings, data: Path) -> tuple[Services, Workers]:
    """The services over ``data`` and the workers that its operations wake."""
    database = Database(settings.database_url)
    woken: list[Callable[[], None]] = []

    def wake() -> None:
        woken[0]()

    def clock() -> datetime:
        return datetime.now(UTC)

    services = Services(
        settings=settings,
        data=data,
        host=socket.gethostname(),
        installation=open_installation(data),
        database=database,
        blocks=BlockStore.open(database, data / "packs", compression=settings.compression),
        objects=ObjectFiles.open(database, data / "objects"),
        clock=clock,
        entropy=Entropy(),
        wake=wake,
    )
    workers = Workers(services)
    woken.append(workers.wake)
    return services, workers


def first_account(services: Services) -> FirstAccount:
    """The administrator's account; made at the first start."""
    with services.database.read() as c:
        row = c.execute(
            select(schema.account.c.id, schema.access_key.c.id.label("key_id"))
            .join(schema.access_key)
            .where(schema.account.c.is_administrator)
            .order_by(schema.account.c.created_at, schema.access_key.c.created_at)
        ).first()
    if row is not None:
        return FirstAccount(row.id, row.key_id, False)
    made = create_account(services, "administrator", administrator=True)
    return FirstAccount(made.account_id, made.access_key_id, True)


def banner(settings: Settings, data: Path, endpoint: str, first: FirstAccount, accelerator: Accelerator) -> str:
    """The one block that a start prints."""
    secret = data / "accounts" / first.account_id / "credentials.json"
    free = human_bytes(shutil.disk_usage(data).free)
    lines = [
        "Amiable is ready" + (" (first start: an account, its keys and a network were made)" if first.is_new else ""),
        f"  endpoint      {endpoint}",
        f"  landing page  {endpoint}/",
        *(f"  region        {region} ({', '.join(settings.zones_in(region))})" for region in settings.regions),
        f"  account       {first.account_id} (administrator)",
        f"  access key    {first.access_key_id}; its secret lies in {secret}",
        f"  data          {data} ({free} free)",
        f"  accelerator   {accelerator.words}",
        "  Ctrl-C ends the server; instances go on running.",
        "",
        "In another terminal:",
        f'  eval "$(amiable env --data {shlex.quote(str(data))})"',
        "",
    ]
    return "\n".join(lines)


def http_config(app: Any, **options: Any) -> uvicorn.Config:
    """How ``app`` is served; ``options`` win."""
    given: dict[str, Any] = {
        "log_level": "warning",
        "access_log": False,
        "http": HttpProtocol,
        "ws": WebSocketProtocol,
        "lifespan": "off",
        "timeout_keep_alive": 75,
        "limit_concurrency": limits.CONNECTIONS_AT_ONCE,
        "timeout_graceful_shutdown": GRACE_SECONDS,
        "server_header": False,
        "date_header": True,
        "proxy_headers": False,  # nobody's word for an address goes into the log: callers of this host may send any
    }
    return uvicorn.Config(app, **{**given, **options})


def run_http(app: Any, listener: socket.socket) -> None:
    """Serves ``app`` on ``listener`` until SIGTERM or SIGINT, or SIGHUP where that is not ignored."""
    config = http_config(app, loop="uvloop")
    server = uvicorn.Server(config)

    def end(_number: int, _frame: Any) -> None:
        server.should_exit = True

    take_signals(end)  # uvicorn raises the first two again when it is done: this answers them
    gc.collect()
    gc.freeze()  # what was loaded stays: no collection goes through it again
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))


def read_settings(environment: dict[str, str]) -> Settings:
    """The settings that ``amiable serve`` resolved, JSON in ``AMIABLE_SERVER_SETTINGS``; without them nothing is started."""
    text = environment.get(SETTINGS_VARIABLE)
    if text is None:
        raise LocalRefusal(f"{SETTINGS_VARIABLE} is not set", hint="amiable serve sets it", exit_code=2)
    raw = json.loads(text)
    return Settings(**{**raw, "regions": tuple(raw["regions"]), "zones": tuple(raw["zones"])})


def main(argv: list[str], environment: dict[str, str]) -> int:
    """``python -m amiable.server``, which ``amiable serve`` becomes."""
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(LogFormat())
    logging.basicConfig(level=logging.INFO, handlers=[to_stderr])
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # What the format has no place for is not looked up with each line: the caller's frame, thread, process and task.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    threading.excepthook = log_failed_thread
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    raise_descriptor_limit()
    try:
        with ended_by_signals():
            return serve(read_settings(environment), announce=sys.stdout)
    except LocalRefusal as refusal:
        sys.stderr.write(f"error: {refusal.message}\n")
        if refusal.advice:
            sys.stderr.write(f"\nhint: {refusal.advice}\n")
        return refusal.exit_code
    except Exception as error:  # noqa: BLE001  the outermost loop of the process
        log_failure(log, "the server ended by what it did not expect", error)
        return 74 if is_disk_full(error) else 70


def log_failed_thread(failed: threading.ExceptHookArgs) -> None:
    """Logs what a thread ended by as everything else is logged."""
    name = "a thread" if failed.thread is None else failed.thread.name
    assert failed.exc_value is not None
    log.error("%s ended by what it did not expect", name, exc_info=failed.exc_value)
