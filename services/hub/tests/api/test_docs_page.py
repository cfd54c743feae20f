"""The page that shows the API works where there is no internet, behind any proxy."""

import re
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from support.hub import TestHub

from towonel.hub.api.application import create_app_without_hub

LINKED = re.compile(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""")
IN_STYLE = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])(?!data:)([^"')\s]+)""")


async def fetched(http: httpx.AsyncClient, url: str) -> str:
    answer = await http.get(url)
    assert answer.status_code == 200, url
    assert answer.content
    return answer.text


async def test_what_the_page_loads_is_served_by_the_hub(hub: TestHub) -> None:
    async with hub.raw() as http:
        page = await fetched(http, "/docs")
        linked = LINKED.findall(page)
        loaded = [await fetched(http, urljoin("http://hub/docs", link)) for link in linked]
        style = loaded[linked.index("docs/assets/swagger-ui.css")]

    assert {link.rpartition(".")[2] for link in linked} == {"css", "js", "png", "json"}
    assert IN_STYLE.findall(style) == []
    assert "//" not in re.sub(r"<!--.*?-->", "", page).replace("http://www.w3.org", "")


@pytest.mark.parametrize("base", ["http://hub/docs", "https://example.eu/tunnel/hub/docs"])
async def test_every_address_of_the_page_is_relative_to_it(hub: TestHub, base: str) -> None:
    async with hub.raw() as http:
        linked = LINKED.findall(await fetched(http, "/docs"))
    found = [urlsplit(urljoin(base, link)) for link in linked]
    server = create_app_without_hub().openapi()["servers"][0]["url"]

    folder = base.rpartition("/")[0]
    assert all(one.geturl().startswith(folder + "/") for one in found)
    assert urljoin(f"{folder}/v1/openapi.json", server) == f"{folder}/"


async def test_a_browser_may_ask_nobody_else(hub: TestHub) -> None:
    async with hub.raw() as http:
        policy = (await http.get("/docs")).headers["content-security-policy"]
    sources = {word for rule in policy.split(";") for word in rule.split()[1:]}

    assert policy.startswith("default-src 'none'")
    assert sources == {"'none'", "'self'", "'unsafe-inline'", "data:"}


async def test_the_hub_serves_the_document_that_the_house_tests(hub: TestHub) -> None:
    async with hub.raw() as http:
        answer = await http.get("/v1/openapi.json")

    assert answer.json() == create_app_without_hub().openapi()
