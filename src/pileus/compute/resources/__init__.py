"""The field tables of Nova's resources: one file per noun. Not here: what a field means (actions) and what is not shape (versions.py)."""
