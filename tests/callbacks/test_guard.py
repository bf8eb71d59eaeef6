from __future__ import annotations

import socket

from ipaddress import ip_network

import pytest

from hypothesis import given, strategies as st

from cascade.callbacks.guard import Guard, RefusedAddressError, resolve


SPECIAL = [
    "0.0.0.0",  # noqa: S104  # nothing is bound to it
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]

PUBLIC = ["8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:2800:220:1::1", "2a00::1"]


def guard_of(*addresses: str, **options) -> Guard:
    return Guard(resolve=lambda _host, _port: addresses, **options)


@pytest.mark.parametrize("address", SPECIAL)
def test_no_name_leads_into_a_private_or_reserved_network(address: str):
    with pytest.raises(RefusedAddressError, match="private_networks") as refused:
        guard_of(address).addresses("shop.example", 443, is_tls=True)
    assert address not in str(refused.value)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_called(address: str):
    assert guard_of(address).addresses("shop.example", 443, is_tls=True) == [address]


@pytest.mark.parametrize("place", [0, 1])
def test_one_private_address_among_public_ones_refuses_the_name(place: int):
    addresses = ["8.8.8.8"]
    addresses.insert(place, "10.0.0.1")

    with pytest.raises(RefusedAddressError):
        guard_of(*addresses).addresses("shop.example", 443, is_tls=True)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ],
)
def test_no_way_of_writing_it_leads_to_this_machine(host: str):
    with pytest.raises(RefusedAddressError):
        Guard().addresses(host, 443, is_tls=True)


def test_a_name_without_an_address_is_no_way():
    with pytest.raises(OSError, match="no address"):
        guard_of().addresses("shop.example", 443, is_tls=True)
    with pytest.raises(socket.gaierror):
        resolve("nowhere.invalid", 443)


def test_a_network_of_our_own_may_be_called_if_it_is_named_and_no_other():
    ours = (ip_network("10.20.0.0/16"), ip_network("fd00:20::/32"))
    for address in ("10.20.3.4", "fd00:20::1"):
        assert guard_of(address, private_networks=ours).addresses("crm", 443, is_tls=True) == [
            address
        ]
    for address in ("10.21.0.1", "::ffff:10.20.3.4", "fd00:21::1"):
        with pytest.raises(RefusedAddressError):
            guard_of(address, private_networks=ours).addresses("crm", 443, is_tls=True)


def test_plain_http_goes_into_networks_of_our_own_only():
    guard = guard_of(
        "10.20.0.1", ports=frozenset({80}), private_networks=(ip_network("10.20.0.0/16"),)
    )
    assert guard.addresses("crm", 80, is_tls=False) == ["10.20.0.1"]

    with pytest.raises(RefusedAddressError, match="plain http"):
        guard_of("8.8.8.8", ports=frozenset({80})).addresses("shop.example", 80, is_tls=False)


def test_only_443_and_the_ports_that_are_named_are_called():
    assert guard_of("8.8.8.8", ports=frozenset({8443})).addresses(
        "shop.example", 8443, is_tls=True
    )
    for port in (22, 80, 8443):
        with pytest.raises(RefusedAddressError, match=f"port {port}"):
            guard_of("8.8.8.8").addresses("shop.example", port, is_tls=True)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://shop.example/", "no https"),
        ("shop.example", "no https"),
        ("https:///path", "no https"),
        ("https://user:pass@shop.example/", "user"),
        ("https://user@shop.example/", "user"),
        ("https://shop.example/#x", "#"),
        ("https://shop.example\\@10.0.0.1/", "backslash"),
        ("https://shop.example/a b", "blank"),
        ("https://shop.example:22/", "port 22"),
        ("https://shop.example:99999/", "[Pp]ort"),
        ("http://8.8.8.8:443/", "plain http"),
        ("https://10.0.0.1/", "private_networks"),
        ("https://[::1]/", "private_networks"),
        ("https://169.254.169.254/latest/meta-data", "private_networks"),
    ],
)
def test_an_address_that_cannot_be_called_is_refused_as_it_is_read(url: str, problem: str):
    with pytest.raises(ValueError, match=problem) as refused:
        Guard().check_url(url)
    assert "pass" not in str(refused.value)


@pytest.mark.parametrize("url", ["https://shop.example", "https://8.8.8.8/x?token=1"])
def test_an_address_that_can_be_called_is_not_resolved_as_it_is_read(url: str):
    def never(host, port):
        raise AssertionError

    Guard(resolve=never).check_url(url)


@given(st.ip_addresses(v=6).filter(lambda one: int(one) >> 125 != 1))
def test_of_ipv6_nothing_is_called_that_is_not_given_out(address):
    with pytest.raises(RefusedAddressError):
        guard_of(str(address)).addresses("shop.example", 443, is_tls=True)
