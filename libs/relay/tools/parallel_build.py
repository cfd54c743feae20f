"""Build of C extensions that compiles their files side by side, on all processors there are."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, override

from setuptools.command.build_ext import build_ext  # type: ignore[import-untyped]


class ParallelBuild(build_ext):  # type: ignore[misc] # it is untyped
    """Build of extensions in which each file has a compiler of its own."""

    @override
    def build_extensions(self) -> None:
        self.compiler.compile = partial(_compile, self.compiler.compile)
        super().build_extensions()


def _compile(
    compile_files: Callable[..., list[str]], sources: list[str], **options: Any
) -> list[str]:
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        made = pool.map(partial(compile_files, **options), ([source] for source in sources))
        return [path for each in made for path in each]
