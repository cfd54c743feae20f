"""`towonel agent init`: a key for an agent whose id has to be known before it runs."""

import typer

from towonel.cli.command import local_command
from towonel.cli.key_files import AGENT_KEY, NewKeyPath, new_seed
from towonel.cli.output import Fields, Output
from towonel.identity.keys import NodeKey

app = typer.Typer()


@local_command(app, "init", "towonel agent init", "towonel agent init --key-path garage.key")
def init(key_path: NewKeyPath = AGENT_KEY) -> Output:
    """Make an agent's key, and print its id. Towonel's own agents make one at each boot."""
    agent_id = NodeKey.from_seed(new_seed(key_path)).public.hex()
    fields = Fields([("key", str(key_path)), ("agent", agent_id)])
    return Output({"key_path": str(key_path), "agent_id": agent_id}, fields)
