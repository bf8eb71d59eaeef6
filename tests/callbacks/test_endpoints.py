from __future__ import annotations

import base64

from ipaddress import ip_network
from pathlib import Path

import pytest

from cascade.callbacks.endpoints import FILE, load_endpoints, load_names
from cascade.domain.errors import ConfigurationError
from tests.conftest import CONFIG


OLD, NEW = b"o" * 24, b"n" * 32
SECRET = "whsec_" + base64.b64encode(OLD).decode()
SECRETS = SECRET + ", whsec_" + base64.b64encode(NEW).decode()

SHOP = """
[endpoints.shop]
url = "https://shop.example.com/cascade?token=hidden"
"""


def written(directory: Path, text: str) -> Path:
    (directory / FILE).write_text(text, "utf-8")
    return directory


def problems(directory: Path, text: str, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load_endpoints(written(directory, text), environ)
    return str(refused.value)


def test_without_a_file_and_in_the_one_that_we_ship_there_is_none(tmp_path: Path):
    for directory in (tmp_path, CONFIG):
        assert load_names(directory) == []
        assert load_endpoints(directory, {}).by_name == {}


def test_an_endpoint_is_ready_with_all_its_secrets_and_shows_none(tmp_path: Path):
    found = load_endpoints(written(tmp_path, SHOP), {"CASCADE_ENDPOINT_SHOP_SECRETS": SECRETS})

    shop = found.by_name["shop"]
    assert (shop.name, shop.keys, shop.connections) == ("shop", (OLD, NEW), 4)
    assert "hidden" not in repr(found)
    assert "ooo" not in repr(found)


def test_names_alone_need_no_secret(tmp_path: Path):
    assert load_names(written(tmp_path, SHOP)) == ["shop"]


def test_the_environment_wins_over_the_file(tmp_path: Path):
    found = load_endpoints(
        written(tmp_path, "[endpoints.my-shop]\nconnections = 9"),
        {
            "CASCADE_ENDPOINT_MY_SHOP_SECRETS": SECRETS,
            "CASCADE_ENDPOINT_MY_SHOP_URL": "https://elsewhere.example/",
        },
    )

    one = found.by_name["my-shop"]
    assert (one.url, one.connections) == ("https://elsewhere.example/", 9)


def test_ports_and_networks_of_the_file_are_what_the_guard_lets_through(tmp_path: Path):
    text = """
        ports = [8443]
        private_networks = ["10.20.0.0/16", "fd00::/8"]
        [endpoints.crm]
        url = "http://10.20.0.7:8443/hook"
    """
    found = load_endpoints(written(tmp_path, text), {"CASCADE_ENDPOINT_CRM_SECRETS": SECRET})

    assert found.guard.ports == {8443}
    assert found.guard.private_networks == (ip_network("10.20.0.0/16"), ip_network("fd00::/8"))


def test_every_problem_of_every_endpoint_is_told_at_once(tmp_path: Path):
    text = """
        ca_file = "/nowhere.pem"
        [endpoints.a]
        [endpoints.b]
        url = "https://10.0.0.1/"
        [endpoints.c]
        url = "https://c.example/"
        [endpoints.d]
        url = "https://d.example/"
    """
    told = problems(tmp_path, text, CASCADE_ENDPOINT_D_SECRETS=f"{SECRET},whsec_short")

    assert "5 problems" in told
    assert "ca_file: there is no such file" in told
    assert "endpoints.a.url: it is not set; set it in the file, or CASCADE_ENDPOINT_A_URL" in told
    assert "endpoints.b.url: it leads into a private" in told
    assert "endpoints.c.secrets: it has none; set CASCADE_ENDPOINT_C_SECRETS" in told
    assert "endpoints.d.secrets: CASCADE_ENDPOINT_D_SECRETS, entry 2:" in told
    assert "short" not in told


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[endpoints.Shop]", "endpoints.Shop"),
        ("[endpoints.shop]\nsecret = 'x'", "endpoints.shop.secret: a secret stands in the file"),
        ("[endpoints.shop]\nsecrets = ['x']", "endpoints.shop.secrets: a secret stands in"),
        ("[endpoints.shop]\nconnections = 0", "endpoints.shop.connections"),
        ("[endpoint.shop]", "endpoint:"),
        ("private_networks = ['10.20.0.1/16']", "private_networks.0"),
        ("ports = [0]", "ports.0"),
        ("[endpoints", "TOML"),
    ],
)
def test_a_file_that_says_something_else_is_refused_with_the_place(
    tmp_path: Path, text: str, problem: str
):
    assert problem in problems(tmp_path, text)
    with pytest.raises(ConfigurationError):
        load_names(tmp_path)
