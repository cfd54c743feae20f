"""Postgres server of the tests: one a process, one database a test, from a migrated template."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from support.ports import free_port

from towonel.hub.store.db.database import Database
from towonel.hub.store.db.migrate import upgrade

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
# A test's data may be lost with the machine, but not with the process: nothing waits for the disk.
UNSAFE = {"fsync": "off", "full_page_writes": "off"}
ON_DISK = "/var/tmp"  # noqa: S108 mkdtemp makes the names in it
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "unix_socket_directories": "''",
}


@dataclass
class Postgres:
    """A running server."""

    folder: Path
    port: int
    programs: Path
    durable: bool = False
    _made: int = 0
    _templates: dict[str, str] = field(default_factory=dict[str, str])

    def database(self, *, migrated: bool = True) -> Database:
        """Return a database of its own, empty or with the newest schema."""
        self._made += 1
        name = f"test_{self._made}"
        if migrated and "head" not in self._templates:
            self.execute("CREATE DATABASE head")
            upgrade(self.named("head"))
            self._templates["head"] = "head"
        template = "head" if migrated else "template0"
        # Of its strategies the one without a log takes half of the time.
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.named(name)

    def drop(self, database: Database) -> None:
        """Delete a database; hundreds would take gigabytes, and long to delete at the end."""
        self.execute(f"DROP DATABASE {database.url.database} WITH (FORCE)")

    def copy(self, name: str, to: str) -> None:
        """Keep a copy of a database that nobody is connected to."""
        self.execute(f"CREATE DATABASE {to} TEMPLATE {name}")

    def put_back(self, name: str, older: str) -> None:
        """Have a database be an older copy of it, as a failover that lost commits does."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")
        self.execute(f"ALTER DATABASE {older} RENAME TO {name}")

    def named(self, name: str) -> Database:
        return Database.parse(self.dsn(name))

    def dsn(self, name: str) -> str:
        return f"postgres://towonel:secret@127.0.0.1:{self.port}/{name}"

    def execute(self, statement: str, *values: str) -> None:
        self.execute_in("postgres", statement, *values)

    def execute_in(self, name: str, statement: str, *values: str) -> None:
        """Execute a statement in a database, as the superuser."""
        with psycopg.connect(self.dsn(name), autocommit=True) as connection:
            connection.execute(statement.encode(), values)

    def let_write(self, database: Database, *, may: bool) -> None:
        """Let new connections write, or only read as at a standby; those of before end."""
        name, only_read = str(database.url.database), "off" if may else "on"
        self.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {only_read}")
        if not may:
            self.cut_off(name)

    def cut_off(self, name: str) -> None:
        """End every connection to a database."""
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        self.execute(ended, name)

    def start(self) -> None:
        chosen = SETTINGS | ({} if self.durable else UNSAFE)
        options = [f"-c {name}={value}" for name, value in chosen.items()]
        self._run("pg_ctl", "-w", "-D", "data", "-l", "log", "-o", " ".join(options), "start")

    def stop(self, how: str = "immediate") -> None:
        self._run("pg_ctl", "-w", "-D", "data", "-m", how, "stop")

    def freeze(self) -> None:
        """Suspend all its processes: connections stay, and none answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, what: signal.Signals) -> None:
        parent = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        os.kill(parent, what)  # first: then there are no new ones
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                # man proc_pid_stat: the parent stands after the name in brackets and the state
                if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                    os.kill(int(stat.parent.name), what)

    def init(self) -> None:
        # The proof of a password by SCRAM takes a client 3 ms of each connection; that by MD5 none.
        auth = "scram-sha-256" if self.durable else "md5"
        (self.folder / "password").write_text("secret")
        self._run(
            *("initdb", "--no-sync", "-D", "data", "-U", "towonel", "--encoding=UTF8"),
            *("--locale=C", f"--auth={auth}", "--pwfile=password"),
        )
        configuration = self.folder / "data" / "postgresql.conf"
        configuration.write_text(configuration.read_text() + f"\nport = {self.port}\n")

    def _run(self, program: str, *arguments: str) -> None:
        as_whom = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [*as_whom, str(self.programs / program), *arguments],
            cwd=self.folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )


@contextlib.contextmanager
def running(*, durable: bool = False) -> Generator[Postgres]:
    """A server that ends with the context; Postgres refuses to run as root, so it does not.

    A durable one is as in production: it waits for the disk, and passwords are proved by SCRAM.
    """
    assert PROGRAMS, "no Postgres here: `make tools` installs it"
    folder = Path(tempfile.mkdtemp(prefix="towonel-postgres-", dir=ON_DISK if durable else None))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        server = Postgres(folder, free_port(), PROGRAMS[-1], durable)
        server.init()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
