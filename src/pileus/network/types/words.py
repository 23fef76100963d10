"""How Neutron refuses: the faults that have its words, and the words of a body that does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.errors import BadRequest, Fault
from pileus.kit.resource import Mismatch, Words

CONVERT = "convert"  # the rule of a Mismatch that came up while converting, which Neutron words differently


def invalid_input(reason: str, type: str = "InvalidInput") -> BadRequest:
    """Neutron's InvalidInput and what derives from it with these words; `reason` has no full stop."""
    return BadRequest(f"Invalid input for operation: {reason}.", type=type)


def bad_request(resource: str, reason: str) -> BadRequest:
    """Neutron's BadRequest: `Bad router request: ...`; `reason` has no full stop."""
    return BadRequest(f"Bad {resource} request: {reason}.", type="BadRequest")


def malformed(message: str) -> BadRequest:
    """What the API layer itself refuses (webob's HTTPBadRequest)."""
    return BadRequest(message, type="HTTPBadRequest")


def _mismatch(name: str, mismatch: Mismatch) -> Fault:
    if mismatch.rule == CONVERT:
        return invalid_input(mismatch.reason)
    return malformed(f"Invalid input for {name}. Reason: {mismatch.reason}.")


def _unknown(names: list[str]) -> Fault:
    return malformed(f"Unrecognized attribute(s) '{', '.join(names)}'")


def _missing(name: str, given: Mapping[str, Any]) -> Fault:
    return malformed(f"Failed to parse request. Required attribute '{name}' not specified")


def _no_object(key: str, body: Any) -> Fault:
    return malformed(f"Unable to find '{key}' in request body")


WORDS = Words(mismatch=_mismatch, unknown=_unknown, missing=_missing, no_object=_no_object)
