"""The generated part of the documentation. `python -m tools.docs` (make docs) writes it; `--check` only says what is out of date."""
