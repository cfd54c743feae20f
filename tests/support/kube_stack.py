"""Releases in a cluster: hubs on Postgres with Redis, edges and agents, an origin, and clients that load them."""

import base64
import contextlib
import json
import subprocess
import uuid
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from support.chart_schemas import CHARTS
from support.compose_project import until
from support.kube import ROOT, Namespace, Object, namespace, run
from support.origins import Certificates

SUPPORT = Path(__file__).parent
OBJECTS = ROOT / "tests/e2e/kube/objects"
HOSTNAME = "app.example.eu"
PYTHON = "/opt/towonel/bin/python"
ASK_READY = """
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/readyz").read().decode())
except urllib.error.HTTPError as error:
    print(error.read().decode())
"""
FETCH = """
import http.client, socket, ssl, sys
host, port = sys.argv[1].split(":")
context = ssl.create_default_context(cafile=sys.argv[3])
client = http.client.HTTPSConnection(sys.argv[2], context=context)
client.sock = context.wrap_socket(socket.create_connection((host, int(port)), 10), server_hostname=sys.argv[2])
client.request("GET", "/")
print(client.getresponse().read().decode())
"""
MAKE_TOKEN = """
import json, pathlib, sys, urllib.request
key = pathlib.Path("/etc/towonel/keys/operator.key").read_text().strip()
headers = {"Authorization": "Bearer " + key, "Content-Type": "application/json"}
url = "http://127.0.0.1:8443/v1/" + sys.argv[1]
answer = urllib.request.urlopen(urllib.request.Request(url, sys.argv[2].encode(), headers))
print(json.load(answer)["token"])
"""
WORKLOADS = {
    "hub": "deployment/towonel-hub",
    "edge": "statefulset/towonel-edge",
    "agent": "deployment/towonel-agent",
}


class Outcome(NamedTuple):
    """What became of the requests of a load."""

    seconds: float
    done: dict[str, int]
    failed: dict[str, int]
    failures: list[str]
    slowest_s: float

    def describe(self, what: str) -> str:
        done = ", ".join(f"{count} {kind}" for kind, count in sorted(self.done.items()))
        through = self.done.get("new", 0) + self.done.get("reused", 0)
        rate = f"{through / self.seconds:.0f}/s through the tunnel"
        lines = [
            f"{what}: {self.seconds} s, {rate}; done {done}; failed {self.failed or 0}; slowest {self.slowest_s} s"
        ]
        return "\n    ".join(lines + self.failures)


@dataclass
class Running:
    """A load that runs until its context ends; then it has an outcome."""

    outcome: Outcome = field(default=Outcome(0, {}, {}, ["it did not end"], 0))

    @property
    def failed(self) -> dict[str, int]:
        """The requests through the tunnel that failed, by their kind."""
        assert self.outcome.done.get("new"), self.outcome
        return {kind: n for kind, n in self.outcome.failed.items() if kind != "api"}

    @property
    def failed_of_hub(self) -> int:
        assert self.outcome.done.get("api"), self.outcome
        return self.outcome.failed.get("api", 0)


@dataclass
class Releases:
    """A release of each chart in one namespace.

    Args:
        space: where they are.
        databases: another namespace, with Postgres and Redis, which the restricted standard would not let in.
    """

    space: Namespace
    databases: Namespace

    def values(self, component: str) -> Object:
        """Return the values of a chart."""
        text = (OBJECTS / "values.yaml").read_text().replace("NAMESPACE", self.space.name)
        values: Object = yaml.safe_load(text)[component]
        return values

    def start_databases(self, folder: Path) -> None:
        """Start Postgres and Redis, and put their addresses where the charts look for them."""
        address = f"{self.databases.name}.svc"
        dsn = f"postgres://hub:only-for-tests@postgres.{address}/hub"
        self.space.put("Secret", "databases", dsn=dsn, redis=f"redis://redis.{address}:6379/0")
        self.databases.kubectl("apply", "-f", str(OBJECTS / "databases.yaml"))
        self.databases.kubectl("apply", "-f", str(OBJECTS / "killer.yaml"))
        self.databases.settle("statefulset/postgres")
        self.databases.settle("deployment/redis")

    def install(self, charts: Path = CHARTS) -> None:
        """Install hub, edges and agents, one after the other, as the README of the charts has it."""
        self.space.deploy("install", "towonel-hub", self.values("hub"), charts)
        edges = {
            f"towonel-edge-{n}": make_token(self.space, "edge-invites", name=f"edge-{n}")
            for n in (0, 1)
        }
        self.space.put("Secret", "edges", **edges)
        self.space.deploy("install", "towonel-edge", self.values("edge"), charts)
        invite = make_token(self.space, "invites", name="home", hostnames=[HOSTNAME])
        self.space.put("Secret", "invite", token=invite)
        self.space.deploy("install", "towonel-agent", self.values("agent"), charts)

    def upgrade(self, component: str, charts: Path = CHARTS, **changed: Any) -> None:
        values = self.values(component) | changed
        self.space.deploy("upgrade", f"towonel-{component}", values, charts)
        self.space.settle(WORKLOADS[component])

    def test(self, component: str) -> None:
        self.space.test(f"towonel-{component}")

    def kill(self, pod: Object) -> None:
        """Kill the program of a pod, and wait until it was started again and is ready."""
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        script = (SUPPORT / "guest_kill.py").read_text()
        self.databases.kubectl("exec", "-i", "killer", "--", PYTHON, "-c", script, text=uid)

        def is_back() -> bool:
            [found] = self.space.get("pod", name)
            [container] = found["status"]["containerStatuses"]
            return bool(container["restartCount"] and container["ready"])

        until(is_back)

    def readiness(self, pod: Object) -> str:
        """Return what a pod's program says of itself."""
        [container] = pod["spec"]["containers"]
        port = next(str(p["containerPort"]) for p in container["ports"] if p["name"] == "health")
        name = pod["metadata"]["name"]
        return self.space.kubectl("exec", name, "--", PYTHON, "-c", ASK_READY, port)

    def operator_key(self) -> str:
        [secret] = self.space.get("secret", "towonel-hub-keys")
        return base64.b64decode(secret["data"]["operator.key"]).decode()

    @contextlib.contextmanager
    def load(self, what: str) -> Generator[Running]:
        """Have 200 requests a second go through the edges while the context lasts."""
        running, folder = Running(), f"/tmp/{uuid.uuid4().hex}"  # noqa: S108 in the pod
        hub, edges = "towonel-hub:8443", "towonel-edge-clients:443"
        self.in_clients("mkdir", folder)
        script = (PYTHON, "/guests/guest_load.py", edges, HOSTNAME, "/certificates/ca.pem")
        self.in_clients(*script, hub, folder, text=self.operator_key())
        try:
            yield running
        finally:
            self.in_clients("touch", f"{folder}/over")
        said = until(lambda: self.in_clients("cat", f"{folder}/outcome"))
        running.outcome = Outcome(**json.loads(said))
        print(running.outcome.describe(what), flush=True)  # noqa: T201 what the run is for

    def in_clients(self, *command: str, text: str = "") -> str:
        return self.space.kubectl("exec", "-i", "clients", "--", *command, text=text)


@contextlib.contextmanager
def releases(folder: Path) -> Generator[Releases]:
    """Make namespaces with databases and guests; what is installed there ends with them."""
    with (
        namespace(folder / "volumes", volumes=1, enforce=False) as databases,
        namespace(folder / "volumes", volumes=4) as space,
    ):
        made = Releases(space, databases)
        made.start_databases(folder)
        start_guests(space, folder)
        yield made


def start_guests(space: Namespace, folder: Path) -> None:
    """Start an origin, and a pod for clients."""
    certificates = Certificates(folder)
    chain, key = certificates.files(HOSTNAME)
    files = {"ca.pem": certificates.ca_file, "origin.crt": chain, "origin.key": key}
    space.put("Secret", "certificates", **{name: path.read_text() for name, path in files.items()})
    scripts = ("guest_web.py", "guest_load.py")
    space.put("ConfigMap", "guests", **{name: (SUPPORT / name).read_text() for name in scripts})
    space.kubectl("apply", "-f", str(OBJECTS / "guests.yaml"))
    space.kubectl("wait", "pod/origin", "pod/clients", "--for=condition=Ready", "--timeout=60s")


def fetch(space: Namespace, edge: str) -> str:
    """Return the page that a client of this edge gets from the origin."""
    script = (PYTHON, "-c", FETCH, edge, HOSTNAME, "/certificates/ca.pem")
    return space.kubectl("exec", "clients", "--", *script).strip()


def make_token(space: Namespace, kind: str, **body: object) -> str:
    """Have a hub's pod make a token, by its API and the operator's key."""
    script = (PYTHON, "-c", MAKE_TOKEN, kind, json.dumps(body))
    return space.kubectl("exec", WORKLOADS["hub"], "--", *script).strip()


def older_charts(folder: Path) -> Path:
    """Unpack the charts of the newest commit that has others than there are now; return their folder."""
    commits = run("git", "-C", str(ROOT), "log", "--format=%H", "-20", "--", "deploy/helm").split()
    differs = ("git", "-C", str(ROOT), "diff", "--quiet")
    commit = next(
        one
        for one in commits
        if subprocess.run((*differs, one, "--", "deploy/helm"), check=False).returncode
    )
    archive = folder / "charts.tar"
    run("git", "-C", str(ROOT), "archive", "-o", str(archive), commit, "deploy")
    run("tar", "-C", str(folder), "-xf", str(archive))
    return folder / "deploy/helm"
