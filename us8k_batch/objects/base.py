"""What a root of objects is, wherever it stands, and how its errors read."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from us8k_batch.errors import StorageError, StorageRefusedError

Data = bytes | mmap.mmap
"""What an object is made of: bytes in memory, or a file of ours that is mapped."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing tells about one object."""

    key: str
    """Key below the root, with forward slashes."""
    size: int
    """Size, in bytes."""


class Objects(Protocol):
    """A root below which objects are created, read and listed by key."""

    @property
    def url(self) -> str:
        """The root as a person would write it."""

    def get(self, key: str) -> bytes:
        """Return an object's bytes; raise `ObjectNotFoundError` if there is none."""

    def get_tail(self, key: str, length: int) -> bytes:
        """Return an object's last `length` bytes, or all of it if it is shorter."""

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[Any]:
        """Return parts of an object, each given by its start and end in bytes, as buffers, with few requests.

        Raises
        ------
        ObjectNotFoundError
            If there is no such object.
        StorageError
            If it cannot be read, or ends before a part does.
        """

    def open(self, key: str) -> BinaryIO:
        """Open an object to be read piece by piece; what is read stays the same if it is replaced meanwhile."""

    def create(self, key: str, data: Data) -> bool:
        """Make an object durable if none has this key; return whether it is new.

        If it is not new, what stands there is durable all the same.
        """

    def replace(self, key: str, data: Data) -> None:
        """Put an object in place of what is there, atomically and durably."""

    def delete(self, key: str) -> None:
        """Remove an object; it is no error if there is none."""

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """List the objects below a folder whose keys sort after `after`, in no particular order.

        Temporary files are left out.
        """

    def forget_folders(self) -> None:
        """Remove the root and the folders directly below it if this instance made them and they hold nothing."""

    def leftovers(self) -> Iterator[str]:
        """List the keys of temporary files: of writers at work, or killed."""

    def reader(self) -> Any:
        """Return the obstore store of this root, for libraries that read through it."""

    def zarr_store(self) -> Any:
        """Return a Zarr store that reads this root, also in a child that is forked later."""


_SECRET = re.compile(
    r"""(?ix)
    (x-amz-[a-z0-9-]+ | authorization | signature | credential | password | [a-z_]*token | [a-z_]*secret[a-z_]*)
    ["']? \s* [=:] \s* (?: (?:bearer|basic|aws4-hmac-sha256) \s+ )? [^\s&;]+
    | \b A[KS]IA [0-9A-Z]{12,}"""
)
_ANSWER = re.compile(r"<(?:\?xml|Error\b|html\b|!doctype).*", re.IGNORECASE | re.DOTALL)
_TOLD = re.compile(r"<(Code|Message)>([^<]*)</")
_STATUS = re.compile(r"status code: (\d{3})")
_BUSY = ("408", "429", "500", "502", "503", "504")
_ELSEWHERE = re.compile(
    r"redirect without LOCATION|<Code>(?:PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint)"
)
OTHER_REGION = "; set AWS_REGION to the region that the bucket is in"
NO_CREDENTIALS = (
    "no credentials, neither in the environment nor in the provider's own files (~/.aws), "
    "and this machine has no role that gives any"
)


def lacks_credentials(error: Exception) -> bool:
    """Tell whether obstore went without: it asks the metadata server of the cloud, by address, after all else."""
    return "169.254.169.254" in str(error) or "metadata.google.internal" in str(error)


def is_transient(error: Exception) -> bool:
    """Tell whether what obstore raised may be over in a while: no answer, half of one, or a server in trouble."""
    cause = str(error)
    if lacks_credentials(error) or _ELSEWHERE.search(cause):
        return False
    status = _STATUS.search(cause)
    if status:
        return status[1] in _BUSY or "<Code>RequestTimeout<" in cause
    return "HTTP error" in cause  # the connection was refused, lost or too slow


def told_by_server(error: Exception) -> str:
    """Return the status, code and message of a server's answer, and what to do; empty if there was none."""
    status = _STATUS.search(str(error))
    told = _ANSWER.search(str(error))
    words = [f"the server answered {status[1]}"] if status else []
    if told:
        words += dict.fromkeys(_SECRET.sub(_hide, text) for _, text in _TOLD.findall(told[0]) if text)
    elsewhere = _ELSEWHERE.search(str(error))
    if elsewhere and not status:
        words.append("the server answered with a redirect to another region")
    return ", ".join(words) + (OTHER_REGION if elsewhere else "")


def storage_error(message: str, error: Exception) -> StorageError:
    """Make a `StorageError` whose text keeps the cause's first line and nothing that could be a secret.

    It is a `StorageRefusedError` if the same request would be answered in the same way.
    """
    kind = StorageError if is_transient(error) else StorageRefusedError
    if lacks_credentials(error):
        return kind(f"{message}: {NO_CREDENTIALS}")
    if kind is StorageError and (words := told_by_server(error)):
        return kind(f"{message}: {words}")
    cause = str(error)
    # An answer repeats what it was asked with: the key's name, what was signed, the signature.
    told = _ANSWER.search(cause)
    if told:
        cause = cause[: told.start()] + ", ".join(dict.fromkeys(text for _, text in _TOLD.findall(told[0])))
    cause = _SECRET.sub(_hide, cause)
    hint = OTHER_REGION if _ELSEWHERE.search(str(error)) else ""
    return kind(f"{message}: {cause.splitlines()[0][:300] if cause else type(error).__name__}{hint}")


def _hide(match: re.Match[str]) -> str:
    return f"{match[1]}=…" if match[1] else "…"
