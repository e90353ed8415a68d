"""An object store by its address (s3://, gs://, ...): whole objects under names. Neither renaming nor times of change are asked of it.

fsspec does the talking, and is loaded when a store is opened.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from dominoes.errors import OutputError, brief

# A path that an address was made into has lost a slash. One letter is a drive of Windows.
_ADDRESS = re.compile(r"(?P<kind>[a-z][a-z0-9+.:-]+?):/+(?P<rest>.*)", re.DOTALL)
#: Extras of this package by the kind of address.
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


def address(where: str | Path) -> str | None:
    """The address of an object store, without a slash at its end; None of a path of this machine."""
    found = _ADDRESS.fullmatch(str(where))
    return f"{found['kind']}://{found['rest'].rstrip('/')}" if found else None


class ObjectStore:
    """Objects below one address.

    Every method raises OutputError where the store cannot be reached or refuses, whatever the reason; what is absent is none of these.

    Args:
        url: `address`.
    """

    def __init__(self, url: str):
        self.url = url
        self._system, self._root = _opened(url)

    def names(self, folder: str) -> dict[str, tuple[int, str]]:
        """Size in bytes, and what changes with the content ('' where the store has no such mark), of the objects of a folder by name."""
        with self._asked():
            try:
                self._system.invalidate_cache()
                listed = self._system.ls(self._place(folder), detail=True)
            except FileNotFoundError:
                return {}
        files = [each for each in listed if each["type"] == "file"]
        return {each["name"].rpartition("/")[2]: (each["size"], str(each.get("ETag") or each.get("etag") or "")) for each in files}

    def read(self, name: str) -> bytes:
        """The bytes of an object. Raises FileNotFoundError."""
        with self._asked():
            try:
                return bytes(self._system.cat_file(self._place(name)))
            except FileNotFoundError as error:
                raise FileNotFoundError(errno.ENOENT, "not in the object store", f"{self.url}/{name}") from error

    def read_several(self, names: Sequence[str]) -> dict[str, bytes]:
        """The bytes of several objects by name, but of those that are not there any more."""
        if not names:
            return {}
        places = {self._place(name): name for name in names}
        with self._asked():
            found: Mapping[str, Any] = self._system.cat(list(places), on_error="return")
            for content in found.values():
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
        return {places[place]: bytes(content) for place, content in found.items() if not isinstance(content, Exception)}

    def write(self, name: str, content: bytes) -> None:
        """Put an object, in the place of what has its name: the store has the old one or the new, never a part."""
        with self._asked():
            self._system.pipe_file(self._place(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Put an object if none has its name (S3's `If-None-Match: *`); whether it was put. Of several that try, one succeeds."""
        with self._asked():
            try:
                self._system.pipe_file(self._place(name), content, mode="create")
            except FileExistsError:
                return False
            except OSError:
                # Stores answer in several ways that another one was first.
                self._system.invalidate_cache()
                if not self._system.exists(self._place(name)):
                    raise
            else:
                return True
        return False

    def remove(self, name: str) -> None:
        """Remove an object; one that is not there is no mishap."""
        with self._asked():
            try:
                self._system.rm_file(self._place(name))
            except FileNotFoundError:
                return

    def _place(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if error.strerror == "not in the object store":
                raise
            raise self._refusal(error) from error
        except Exception as error:
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> OutputError:
        return OutputError(f"{self.url} cannot be read or written ({brief(error)}); check the address, the credentials and the network")


@lru_cache(maxsize=8)
def opened(url: str) -> ObjectStore:
    """The store of an address, the same one each time. Raises OutputError."""
    return ObjectStore(url)


def _opened(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    kind, _, rest = url.partition("://")
    if kind in ("file", "local"):
        raise OutputError(f"{url} is on this machine; pass its path, without {kind}://")
    if "::" in url or ".." in rest.split("/") or "/" not in rest:
        raise OutputError(f"{url}: expected a bucket and a folder in it, such as {kind}://bucket/results/name")
    try:
        # A store is asked what it has each time: others write to it.
        system, root = url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        extra = EXTRAS.get(kind)
        advice = f"pip install 'dominoes[{extra}]'" if extra else "install it"
        raise OutputError(f"{url}: {kind}:// needs a package that is not there ({brief(error)}); {advice}") from error
    except Exception as error:
        raise OutputError(f"{url} cannot be opened ({brief(error)}); expected an address such as s3://bucket/results/name") from error
    return system, root
