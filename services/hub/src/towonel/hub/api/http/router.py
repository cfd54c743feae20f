"""Router of a group of endpoints."""

from collections.abc import Sequence

from fastapi import APIRouter
from fastapi.params import Depends


def create_router(
    prefix: str, *, tags: list[str] | None = None, dependencies: Sequence[Depends] = ()
) -> APIRouter:
    """Return a router whose operations are called as their functions, whatever application has it."""
    return APIRouter(
        prefix=prefix,
        tags=[*(tags or ())],
        dependencies=dependencies,
        generate_unique_id_function=lambda route: route.name,
    )
