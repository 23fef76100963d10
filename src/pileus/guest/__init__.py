"""Recipes that build guest images, and (in `files/`) the scripts inside them: a library for the command line.

Not here: Glance, servers, anything that runs a guest. Imports `kit` only.
"""
