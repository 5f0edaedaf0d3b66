"""Attacks on a running service: whole with `make torture`, short in `make test`.

Each has a canary: the same attack on a service that is broken on purpose has to find it out.
"""
