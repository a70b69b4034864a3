"""Benchmarks of zenactors against its peers. Run them with `make bench`.

One module for each figure of the requirements' section F. What is measured, from where to
where, and against what, stands at the top of each module.
"""
