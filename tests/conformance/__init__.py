"""Real clients, unmodified, and a real OpenStack's recorded answers, held against a cloud on the fake drivers."""
