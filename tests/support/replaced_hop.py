"""Pytest plugin: the relay's compiled hop is that of the file which TEST_COMPILED_HOP names."""

import importlib.util
import os
import sys

NAME = "towonel.relay.hop._compiled"

spec = importlib.util.spec_from_file_location(NAME, os.environ["TEST_COMPILED_HOP"])
assert spec is not None
assert spec.loader is not None
sys.modules[NAME] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[NAME])
