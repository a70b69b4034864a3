"""Benchmarks of zenactors against its peers. Run them with `make bench`.

There is one module for each figure. Its docstring names the work, the interval that is measured,
and the peer.
"""
