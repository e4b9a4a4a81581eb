"""Bytes by key, on a local disk or in a bucket, with one promise: create only if absent."""

from __future__ import annotations

from us8k_batch.objects.base import (
    NO_CREDENTIALS,
    Data,
    ObjectInfo,
    Objects,
    is_transient,
    lacks_credentials,
    storage_error,
    told_by_server,
)
from us8k_batch.objects.bucket import BUCKET_SCHEMES, Bucket, BucketObjects, is_bucket, open_bucket
from us8k_batch.objects.local import TEMPORARY, LocalObjects, local_path

__all__ = [
    "BUCKET_SCHEMES",
    "NO_CREDENTIALS",
    "TEMPORARY",
    "Bucket",
    "BucketObjects",
    "Data",
    "LocalObjects",
    "ObjectInfo",
    "Objects",
    "is_bucket",
    "is_transient",
    "lacks_credentials",
    "local_path",
    "open_bucket",
    "open_objects",
    "storage_error",
    "told_by_server",
]


def open_objects(url: str) -> Objects:
    """Open the root that a path or URL names; nothing is created or checked yet.

    Raises
    ------
    RequestError
        If it is a URL of another kind, or says more than where the root is.
    """
    if is_bucket(url):
        return BucketObjects(url.rstrip("/"))
    return LocalObjects(local_path(url))
