"""The demo itself: five steps, each told before it is done."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from towonel.api.invites import InviteIn
from towonel.cli.demo import plan
from towonel.cli.demo.certificate import der_of, fingerprint, self_signed
from towonel.cli.demo.fetch import VisitFailed, visit
from towonel.cli.demo.narration import Story
from towonel.cli.demo.processes import Household, Member, StepFailed
from towonel.cli.subprocesses import Program
from towonel.client.hub import HubClient
from towonel.runtime import secretfile
from towonel.wire.errors import TowonelError

CERTIFICATE_FILE, KEY_FILE = "origin.pem", "origin.key"
HOME = "A service at home"
PUBLIC = "A public machine"
INVITE = "An invite"
AGENT = "The agent at home"
VISITOR = "A visitor"
TEXTS = {
    HOME: "A small HTTPS server stands for what runs in your house. It has its own certificate; the"
    " private key never leaves it.",
    PUBLIC: "`towonel serve` starts the two programs of the machine that everybody can reach: the hub"
    " keeps the record of who may publish what, and the edge takes the visitors.",
    INVITE: f"The operator asks the hub for an invite to publish {plan.HOSTNAME}. Its token is shown"
    " once, and is all that the home needs.",
    AGENT: "It runs beside the service, told everything by two environment variables. It dials the"
    " edge, so no port is opened at home, and any address will do.",
    VISITOR: f"Someone opens https://{plan.HOSTNAME}, and reaches the edge. It reads the name in the"
    " first packet and hands the rest, still encrypted, down the tunnel.",
}
EQUAL = "equal: the TLS ends at the service, and nobody in between can read it"


@dataclass(slots=True)
class Demo:
    """One run; `title` is the step it is at."""

    home: Household
    story: Story
    ports: plan.Ports
    inherited: Mapping[str, str]
    title: str = HOME

    @property
    def certificate(self) -> Path:
        return self.home.folder / CERTIFICATE_FILE

    async def play(self, now: datetime) -> None:
        """Go through all steps; everything is up when it returns.

        Raises:
            StepFailed: at the first step that does not work.
        """
        await self._service(now)
        node = await self._public_machine()
        agent = await self._agent(await self._invite(node))
        await self._visitor(agent)

    async def _service(self, now: datetime) -> None:
        self._begin(HOME)
        certificate, key = self_signed(plan.HOSTNAME, now)
        key_file = self.home.folder / KEY_FILE
        self.certificate.write_bytes(certificate)
        secretfile.replace(key_file, key)
        arguments = (str(self.ports.origin), str(self.certificate), str(key_file))
        module = "towonel.cli.demo.origin"
        origin = await self.home.start(Program("origin", module, self.inherited, arguments))
        await self.home.listening(origin, self.ports.origin)
        self.story.facts(
            [
                ("service", f"https on {plan.HOST}:{self.ports.origin}"),
                ("its certificate", f"SHA-256 {fingerprint(der_of(certificate))}"),
            ]
        )

    async def _public_machine(self) -> Member:
        self._begin(PUBLIC)
        environ = plan.serve_environment(self.ports, self.home.folder, self.inherited)
        node = await self.home.start(Program("serve", "towonel.cli", environ, ("serve",)))
        await self.home.ready(node, _readyz(self.ports.hub_health))
        await self.home.ready(node, _readyz(self.ports.edge_health))
        self.story.facts(
            [
                ("hub", f"API on {plan.HOST}:{self.ports.hub}"),
                ("edge", f"visitors and agents on {plan.HOST}:{self.ports.edge}, TCP and UDP"),
            ]
        )
        return node

    async def _invite(self, node: Member) -> str:
        self._begin(INVITE)
        url = f"http://{plan.HOST}:{self.ports.hub}"
        try:
            key = secretfile.read(self.home.folder / "operator.key").decode().strip()
            async with HubClient(url, operator_key=key) as hub:
                made = await hub.invites.create(InviteIn(name="demo", hostnames=[plan.HOSTNAME]))
        except (TowonelError, secretfile.SecretFileError) as error:
            raise StepFailed(str(error), node) from error
        self.story.facts([("token", f"tt_inv_2_... ({len(made.token)} characters)")])
        return made.token

    async def _agent(self, token: str) -> Member:
        self._begin(AGENT)
        environ = plan.agent_environment(self.ports, token, self.inherited)
        agent = await self.home.start(Program("agent", "towonel.agent", environ))
        await self.home.ready(agent, _readyz(self.ports.agent_health))
        self.story.facts(
            [
                ("first variable", "TOWONEL_INVITE_TOKEN (the token)"),
                ("second variable", f"TOWONEL_AGENT_SERVICES={environ['TOWONEL_AGENT_SERVICES']}"),
                ("tunnel", "the agent is connected to the edge"),
            ]
        )
        return agent

    async def _visitor(self, agent: Member) -> None:
        self._begin(VISITOR)
        try:
            seen = await visit(self.ports.edge, self.certificate)
        except VisitFailed as error:
            raise StepFailed(f"no page through the tunnel: {error}", agent) from error
        own = fingerprint(der_of(self.certificate.read_bytes()))
        shown = fingerprint(seen.certificate)
        self.story.facts(
            [
                ("answer", f"{seen.status}, over {seen.protocol}"),
                ("page", json.dumps(seen.heading)),
                ("certificate seen", f"SHA-256 {shown}"),
                ("the service's own", f"SHA-256 {own}"),
            ]
        )
        if shown != own:
            raise StepFailed("the visitor saw a certificate that is not the service's", agent)
        self.story.facts([("so they are", EQUAL)])

    def _begin(self, title: str) -> None:
        self.title = title
        self.story.step(title, TEXTS[title])


def _readyz(port: int) -> str:
    return f"http://{plan.HOST}:{port}/readyz"
