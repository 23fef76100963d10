"""Neutron's converters: what they take, what they make of it, and how they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.errors import Fault
from pileus.kit.resource import Mismatch, Type
from pileus.network import types
from pileus.network.types import CONVERT, WORDS


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        (types.Flag(), "True", True),
        (types.Flag(), "off", False),
        (types.Flag(), 0, False),
        (types.Whole(), "7", 7),
        (types.Whole(null=True), None, None),
        (types.Text(null=True), None, None),
        (types.Mac(), "FA-16-3E-00-00-0A", "fa:16:3e:00:00:0a"),
        (types.Mac(), "fa163e00000a", "fa:16:3e:00:00:0a"),
        (types.Mac(), "fa16.3e00.000a", "fa:16:3e:00:00:0a"),
        (types.Address(), "FD00:0:0::1", "fd00::1"),
        (types.Cidr(), "10.0.0.5/8", "10.0.0.0/8"),
        (types.Cidr(), "10.0.0.5", "10.0.0.5/32"),
        (types.ListOf(types.Text()), None, []),
        (types.FixedIps(), [{"subnet_id": None, "ip_address": "10.0.0.1"}], [{"ip_address": "10.0.0.1"}]),
        (types.Gateway(), None, {}),
        (types.Prefix(), "10.0.0.1", "10.0.0.1/32"),
        (types.Prefix(), "", None),
        (types.Protocol(), 6, "6"),
        (types.Protocol(), "TCP", "tcp"),
        (types.Ethertype(), "ipV6", "IPv6"),
        (types.DhcpOptions(), [{"opt_name": "router", "opt_value": ""}], [{"opt_name": "router", "opt_value": "", "ip_version": 4}]),
    ],
)
def test_taken(kind: Type, given: Any, kept: Any) -> None:
    assert kind.parse(given) == kept


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (types.Flag(), None, "Invalid input for operation: 'None' cannot be converted to boolean."),
        (types.Flag(), [], "Invalid input for operation: '[]' cannot be converted to boolean."),
        (types.Whole(), "x", "Invalid input for operation: 'x' is not an integer."),
        (types.Whole(max=3), 4, "Invalid input for a. Reason: '4' is too large - must be no larger than '3'."),
        (types.Text(), 7, "Invalid input for a. Reason: '7' is not a valid string."),
        (types.Text(max=2), "abc", "Invalid input for a. Reason: 'abc' exceeds maximum length of 2."),
        (types.Text(filled=True), " ", "Invalid input for a. Reason: ' ' Blank strings are not permitted."),
        (types.Id(), "x", "Invalid input for a. Reason: 'x' is not a valid UUID."),
        (types.Mac(), "fa:16:3e:00:00", "Invalid input for a. Reason: 'fa:16:3e:00:00' is not a valid MAC address."),
        (types.Mac(), "fa:16-3e:00:00:00", "Invalid input for a. Reason: 'fa:16-3e:00:00:00' is not a valid MAC address."),
        (types.Mac(), "00:00:00:00:00:00", "Invalid input for a. Reason: '00:00:00:00:00:00' is not a valid MAC address."),
        (types.Address(), 167772161, "Invalid input for a. Reason: '167772161' is not a valid IP address."),
        (types.Cidr(), "10.0.0.0/33", "Invalid input for operation: 10.0.0.0/33 is not in a CIDR format."),
        (types.Cidr(), None, "Invalid input for operation: None is not in a CIDR format."),
        (types.Cidr(), "10.0.0.0/8 ", "Invalid input for operation: 10.0.0.0/8  is not in a CIDR format."),
        (types.ListOf(types.Id()), "x", "Invalid input for a. Reason: 'x' is not a list."),
        (types.ListOf(types.Text()), ["x", "x"], "Invalid input for a. Reason: Duplicate items in the list: 'x'."),
        (types.Pools(), [{"start": "10.0.0.1"}],
         "Invalid input for a. Reason: Validation of dictionary's keys failed. Expected keys: {'end', 'start'} Provided keys: {'start'}."),
        (types.Nameservers(), ["x"], "Invalid input for a. Reason: 'x' is not a valid nameserver. 'x' is not a valid IP address."),
        (types.Routes(), [{"destination": "10.0.0.1/8", "nexthop": "10.0.0.1"}],
         "Invalid input for a. Reason: '10.0.0.1/8' is not a valid CIDR."),
        (types.Routes(), [{"destination": "127.0.0.0/8", "nexthop": "10.0.0.1"}],
         "Invalid input for a. Reason: '127.0.0.0/8' is not a routable CIDR."),
        (types.Prefix(), 5, "Invalid CIDR 5 given as IP prefix."),
        (types.PortNumber(), True, "Invalid value for port True"),
        (types.AddressPairs(), "x", "Allowed address pairs must be a list."),
        (types.AddressPairs(), [{"ip_address": "10.0.0.0/99"}], "'10.0.0.0/99' is not a valid IP subnet"),
        (types.AddressPairs(), [{"ip_address": "10.0.0.1", "x": 1}], "Unrecognized attribute(s) 'x'"),
        (types.Anyhow(), [], "Invalid input for a. Reason: '[]' is not a dictionary."),
    ],
)  # fmt: skip
def test_refused(kind: Type, given: Any, words: str) -> None:
    try:
        kind.parse(given)
    except Mismatch as mismatch:
        assert WORDS.mismatch("a", mismatch).message == words
        assert (mismatch.rule == CONVERT) == words.startswith("Invalid input for operation")
    except Fault as fault:
        assert fault.message == words
    else:
        pytest.fail(f"{given!r} was taken")


@pytest.mark.parametrize(
    "given",
    [
        "x",
        [{}],
        [{"opt_name": "a"}],
        [{"opt_name": " ", "opt_value": "x"}],
        [{"opt_name": "a", "opt_value": ""}],
        [{"opt_name": "a", "opt_value": "x\ny"}],
        [{"opt_name": "a", "opt_value": "x", "ip_version": 5}],
        [{"opt_name": "a", "opt_value": "x", "z": 1}],
        [{"opt_name": "a", "opt_value": "x"}] * 2,
    ],
)
def test_dhcp_options_refused(given: Any) -> None:
    with pytest.raises(Fault) as caught:
        types.DhcpOptions().parse(given)
    assert caught.value.type == "InvalidInput"


def test_every_type_describes_itself() -> None:
    for kind in (
        types.Address(), types.AddressPairs(), types.Anyhow(), types.Cidr(), types.DhcpOptions(), types.Ethertype(), types.FixedIps(),
        types.Flag(), types.Gateway(), types.Id(), types.ListOf(types.Text()), types.Mac(), types.Nameservers(), types.OneOf(("a",)),
        types.Pools(), types.PortNumber(), types.Prefix(), types.Protocol(), types.Routes(), types.Text(), types.Whole(min=0, max=9),
    ):  # fmt: skip
        assert kind.schema().keys() & {"type", "enum", "anyOf"}, kind
