"""Pileus: a real private cloud in one Python process. This file holds the version and nothing else."""

__version__ = "0.1.0"
