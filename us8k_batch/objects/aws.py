"""Credentials, region and endpoint of an AWS profile, which obstore, reading the environment only, does not know."""

from __future__ import annotations

import configparser
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from us8k_batch.errors import RequestError
from us8k_batch.extras import need

FRESH = timedelta(minutes=5)
"""How long credentials of a file are used until it is read again: tools renew those that expire."""
OTHER_WAYS = ("role_arn", "sso_session", "sso_start_url", "credential_process", "login_session")
"""What a profile says whose credentials are to be asked for somewhere."""
ENVIRONMENT = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE")
"""Where one of these is set, obstore finds credentials by itself, and a profile's come after them."""


@dataclass(frozen=True, slots=True)
class ProfileCredentials:
    """Reads the keys of one profile, each time that obstore asks for them."""

    profile: str

    def __call__(self) -> dict[str, Any]:
        """Return the keys as they are now."""
        keys = _keys(_sections(self.profile))
        if keys is None:
            raise RequestError(f"AWS profile {self.profile}: has no keys any more")
        access_key_id, secret_access_key, token = keys
        return {
            "access_key_id": access_key_id,
            "secret_access_key": secret_access_key,
            "token": token,
            "expires_at": datetime.now(UTC) + FRESH,
        }


def s3_options() -> dict[str, Any]:
    """Return what obstore must be told beside the environment: by the standard files, in the SDKs' order.

    Raises
    ------
    RequestError
        If the profile that the environment names does not exist, or a file cannot be read.
    MissingExtraError
        If its credentials are to be asked for, which boto3 knows how to do.
    """
    named = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    profile = named or "default"
    sections = _sections(profile)
    if named and not any(sections):
        raise RequestError(f"AWS_PROFILE={named}: no such profile in {_file('credentials')} or {_file('config')}")
    options: dict[str, Any] = {}
    endpoint = (
        os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or _find(sections, "endpoint_url")
    )
    if endpoint:
        options["endpoint"] = endpoint
        options["client_options"] = {"allow_http": endpoint.startswith("http://")}
    region = _find(sections, "region")
    if region and not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        options["region"] = region
    if not any(os.environ.get(name) for name in ENVIRONMENT):
        options |= _credentials(profile, sections)
    return options


def _credentials(profile: str, sections: list[dict[str, str]]) -> dict[str, Any]:
    way = next((way for way in OTHER_WAYS if _find(sections, way)), None)
    if way is None:
        return {"credential_provider": ProfileCredentials(profile)} if _keys(sections) else {}
    need("aws", f"AWS profile {profile}: {way}")
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        return {"credential_provider": Boto3CredentialProvider()}
    except Exception as error:  # botocore has a class for each of its troubles, and no common base that it exports
        raise RequestError(f"AWS profile {profile}: {way}: {type(error).__name__}, log in or mend it") from None


def _keys(sections: list[dict[str, str]]) -> tuple[str, str, str | None] | None:
    for section in sections:
        if section.get("aws_access_key_id") and section.get("aws_secret_access_key"):
            token = section.get("aws_session_token")
            return section["aws_access_key_id"], section["aws_secret_access_key"], token
    return None


def _find(sections: list[dict[str, str]], name: str) -> str | None:
    return next((section[name] for section in sections if section.get(name)), None)


def _sections(profile: str) -> list[dict[str, str]]:
    """Return what both files say of a profile, that of the credentials first."""
    in_config = profile if profile == "default" else f"profile {profile}"
    return [_section(_file("credentials"), profile), _section(_file("config"), in_config)]


def _section(file: Path, name: str) -> dict[str, str]:
    # Not its default: values hold % signs, and a section named default is one like any other.
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        parser.read_string(file.expanduser().read_text(encoding="utf-8"))
    except RuntimeError:  # neither HOME nor an entry in the password file, as in many containers
        return {}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, configparser.Error) as error:
        # Without the error's text: it quotes the file, which holds secrets.
        raise RequestError(f"{file}: cannot be read ({type(error).__name__}); expected AWS profiles") from None
    return dict(parser[name]) if parser.has_section(name) else {}


def _file(kind: str) -> Path:
    variable = "AWS_SHARED_CREDENTIALS_FILE" if kind == "credentials" else "AWS_CONFIG_FILE"
    return Path(os.environ.get(variable) or Path("~/.aws", kind))
