"""Figures beside their floors, measured in the same run: printed, written to build/bench.json, compared by people, never asserted."""
