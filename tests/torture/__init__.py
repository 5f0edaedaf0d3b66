"""Attacks on a running service, run by `make torture`; without TORTURE=1 they are short.

Each has a canary: the same attack has to fail on a service that is broken on purpose.
"""
