"""Leases in an object store, where nothing is renamed and no time of change is looked at: a name is put if it is not there yet.

A lease is an object NAME.GENERATION, whose content is rewritten as a sign of life. The highest generation holds. One that has shown the
same content for long, by the steady clock of whoever looks, is passed over by putting the next generation, which of several succeeds for
one; who was passed over notices. So two hold one lease only while the first of them has been still for longer than that.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dominoes.errors import OutputError
from dominoes.runs import claims
from dominoes.runs.packed.place import HOME
from dominoes.runs.packed.storage import ObjectStore

FOLDER = f"{HOME}/leases"


class ObjectLeases:
    """The leases of a store, and what of others' was seen so far."""

    def __init__(self, store: ObjectStore):
        self._store = store
        self._seen: dict[str, tuple[bytes, float]] = {}

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Hold a lease. Raises claims.Busy: another launch that lives holds it; OutputError."""
        mine, token = self._taken(name)
        ended = threading.Event()
        beating = threading.Thread(target=self._beat, args=(mine, token, ended), daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join(timeout=claims.STALE_SECONDS)
            if self._is_mine(mine, token):
                for generation in sorted(self._generations(name)):
                    # Oldest first: as long as there are any the newest is there.
                    if generation <= _generation(mine):
                        self._store.remove(f"{FOLDER}/{name}.{generation:06d}")

    def others(self, mine: str) -> list[str]:
        """Names of the leases besides one's own, but those whose process was of this machine and has ended. Raises OutputError."""
        found = []
        for each in self._store.names(FOLDER):
            content = self._content(each) if each.rpartition(".")[0] != mine else None
            if content is not None and not self._is_still(each, content):
                found.append(each)
        return found

    def _taken(self, name: str) -> tuple[str, str]:
        """Name and token of a lease that was put just now."""
        there = self._generations(name)
        newest = max(there, default=0)
        if newest:
            rival = f"{name}.{newest:06d}"
            content = self._content(rival)
            if content is not None and not self._is_still(rival, content):
                said = _said(content)
                who = f"process {said['pid']} of {said['host']}" if said else "an unknown process"
                raise claims.Busy(f"it is being run by {who}; wait for it, or stop it and run again")
        token = secrets.token_hex(8)
        mine = f"{name}.{newest + 1:06d}"
        # Read back: of a store that puts whether or not the name is there, the last one wins.
        if not self._store.create(f"{FOLDER}/{mine}", _sign(token)) or not self._is_mine(mine, token):
            raise claims.Busy("another launch took it just now; wait for it")
        return mine, token

    def _generations(self, name: str) -> list[int]:
        names = self._store.names(FOLDER)
        return [_generation(each) for each in names if each.rpartition(".")[0] == name]

    def _is_still(self, rival: str, content: bytes) -> bool:
        """Whether a lease has had the same content for too long, or its process was of this machine and has ended."""
        said = _said(content)
        if said and claims.of_here(said) and claims.has_ended(said):
            return True
        known, since = self._seen.setdefault(rival, (content, time.monotonic()))
        if known != content:
            self._seen[rival] = (content, time.monotonic())
            return False
        return time.monotonic() - since > claims.STALE_SECONDS

    def _content(self, mine: str) -> bytes | None:
        try:
            return self._store.read(f"{FOLDER}/{mine}")
        except FileNotFoundError:
            return None

    def _is_mine(self, mine: str, token: str) -> bool:
        content = self._content(mine)
        return content is not None and _said(content).get("token") == token

    def _beat(self, mine: str, token: str, ended: threading.Event) -> None:
        while not ended.wait(claims.BEAT_SECONDS):
            try:
                if not self._is_mine(mine, token):
                    # Passed over, and the next one has ended already: what both did counts once.
                    return
                self._store.write(f"{FOLDER}/{mine}", _sign(token))
            except OutputError:
                continue


def _generation(name: str) -> int:
    number = name.rpartition(".")[2]
    return int(number) if number.isdecimal() else 0


def _sign(token: str) -> bytes:
    """What a lease says, another text each time."""
    return json.dumps(claims.myself() | {"token": token, "beat": secrets.token_hex(4)}).encode()


def _said(content: bytes) -> dict[str, Any]:
    """What a lease says; nothing of one that no launch wrote."""
    try:
        found = json.loads(content)
        return dict(found) if isinstance(found["pid"], int) and isinstance(found["host"], str) else {}
    except (ValueError, KeyError, TypeError):
        return {}
