"""The schema of POST /v3/auth/tokens, which Keystone quotes when something is missing."""

from __future__ import annotations

from typing import Any

AUTH_SCHEMA: dict[str, Any] = {
    "properties": {
        "identity": {
            "properties": {
                "methods": {"items": {"type": "string"}, "type": "array"},
                "password": {
                    "properties": {
                        "user": {
                            "properties": {
                                "domain": {"properties": {"id": {"type": "string"}, "name": {"type": "string"}}, "type": "object"},
                                "id": {"type": "string"},
                                "name": {"type": "string"},
                                "password": {"type": "string"},
                            },
                            "type": "object",
                        }
                    },
                    "type": "object",
                },
                "token": {"properties": {"id": {"type": "string"}}, "required": ["id"], "type": "object"},
            },
            "required": ["methods"],
            "type": "object",
        },
        "scope": {
            "properties": {
                "OS-TRUST:trust": {"properties": {"id": {"type": "string"}}, "type": "object"},
                "domain": {"properties": {"id": {"type": "string"}, "name": {"type": "string"}}, "type": "object"},
                "project": {
                    "properties": {
                        "domain": {"properties": {"id": {"type": "string"}, "name": {"type": "string"}}, "type": "object"},
                        "id": {"type": "string"},
                        "name": {"type": "string"},
                    },
                    "type": "object",
                },
                "system": {"properties": {"all": {"enum": [True, False, None], "type": "boolean"}}, "type": "object"},
            },
            "type": ["object", "string"],
        },
    },
    "required": ["identity"],
    "type": "object",
}
