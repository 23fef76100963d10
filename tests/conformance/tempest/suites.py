"""The suites, as data: which modules each is made of, what cloud it needs, and what a real OpenStack made of it on this kind of machine."""

from __future__ import annotations

from dataclasses import dataclass

CLIENT = "openstackclient.tests.functional"


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite. `client`: its tests run the openstack command; `guests`: it needs real guests and networks."""

    name: str
    packages: tuple[str, ...]
    title: str
    passed: int = 0  # by a real OpenStack
    listed: int = 0
    seconds: float = 0
    client: bool = False
    guests: bool = False
    workers: int = 2
    raw_only: str = ""  # which tests are asked with a tempest.conf that knows no other format of images than raw
    settings: tuple[tuple[str, str], ...] = ()  # what its cloud is started with, besides


# rules about passwords are off unless set; the suite tests them where they are on
PASSWORDS = (("PILEUS_LOCKOUT_FAILURE_ATTEMPTS", "2"), ("PILEUS_LOCKOUT_DURATION", "2"), ("PILEUS_UNIQUE_LAST_PASSWORD_COUNT", "2"))

SUITES = {
    suite.name: suite
    for suite in (
        Suite("identity", ("tempest.api.identity",), "Tempest, identity API", 134, 138, 113, settings=PASSWORDS),
        Suite("image", ("tempest.api.image",), "Tempest, image API", 67, 102, 166, raw_only=r"test_images\.List\w+ImagesTest"),
        Suite("network", ("tempest.api.network",), "Tempest, network API", 245, 262, 245),
        Suite("client-identity", (f"{CLIENT}.identity.v3",), "openstackclient, identity commands", 136, 138, client=True),
        Suite("client-image", (f"{CLIENT}.image",), "openstackclient, image commands", 11, 13, client=True),
        Suite("client-network", (f"{CLIENT}.network",), "openstackclient, network commands", 52, 115, client=True),
        Suite(
            "scenario",
            (
                "tempest.scenario.test_network_basic_ops",
                "tempest.scenario.test_security_groups_basic_ops",
                "tempest.scenario.test_network_v6",
            ),
            "Tempest, scenarios on real guests",
            guests=True,
            workers=1,
        ),
    )
}
