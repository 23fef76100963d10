"""Identity: who may ask, and in the name of which project. Keystone's v3 API.

Owns projects and domains, users, roles, assignments and tokens; the catalog is computed, for this cloud has one address.
Not here: what a role may do: that is declared on each service's actions.
"""
