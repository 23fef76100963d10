"""A library for every OpenStack-shaped api.py: types, negotiation, discovery, error bodies, lists. It knows no service; it imports kit."""
