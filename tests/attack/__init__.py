"""Attacks on a running dispatcher: interruptions, floods, re-entry, random programs.

Each attack runs in a process of its own (see `tests.attack.child`), because an engine that is
broken hangs the thread that asks it.
"""
