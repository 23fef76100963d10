"""`pileus why`: one packet followed hop by hop, from guest to guest or to the outside, and the first thing that stops it.

What it owns: the walk (pure: rows and answers of the host in, hops and a verdict out), the words and the commands that mend. What it does
not: asking the host (live/tracer.py) and changing anything: `mend` asks the reconciler to.
"""
