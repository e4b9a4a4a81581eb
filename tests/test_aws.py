"""What the standard AWS files say is heeded as the SDKs do, and what they hold is told to nobody."""

from __future__ import annotations

import importlib.util
import pwd
from collections.abc import Callable
from pathlib import Path

import obstore
import pytest

from us8k_batch.errors import MissingExtraError, RequestError
from us8k_batch.objects import open_objects
from us8k_batch.objects.aws import FRESH, s3_options

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLE%KEY"  # noqa: S105  # Amazon's own example, and a sign that ini files use
Files = Callable[..., None]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Return what writes ``~/.aws``; the environment is empty."""
    for name in (
        "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "DEFAULT_PROFILE", "REGION",
        "DEFAULT_REGION", "ENDPOINT_URL", "ENDPOINT_URL_S3", "SHARED_CREDENTIALS_FILE", "CONFIG_FILE",
        "WEB_IDENTITY_TOKEN_FILE",
    ):  # fmt: skip
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def write(**texts: str) -> None:
        for name, text in texts.items():
            (tmp_path / ".aws").mkdir(exist_ok=True)
            (tmp_path / ".aws" / name).write_text(text)

    return write


def keys(name: str = "default", key: str = "AKIDEXAMPLE", more: str = "") -> str:
    """Write the section of a profile."""
    return f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {SECRET}\n{more}\n"


def test_without_files_the_environment_is_all(files: Files) -> None:
    """Nothing is told to obstore, which reads the environment itself."""
    assert s3_options() == {}


def test_where_there_is_no_home_there_are_no_files(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user often has neither HOME nor an entry in the password file: the environment is all."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # KeyError, as for a user without an entry
    assert s3_options() == {}
    assert open_objects("s3://bucket/p").url == "s3://bucket/p"
    monkeypatch.setenv("AWS_PROFILE", "lab")
    with pytest.raises(RequestError, match=r"AWS_PROFILE=lab: no such profile in ~/\.aws/credentials"):
        s3_options()


def test_the_default_profile_is_read(files: Files) -> None:
    """Keys, session token and region, as the SDKs read them; the keys are to be asked for again after a while."""
    files(credentials=keys(more="aws_session_token = TOKEN"), config="[default]\nregion = eu-north-1\n")
    options = s3_options()
    assert options["region"] == "eu-north-1"
    given = options["credential_provider"]()
    assert (given["access_key_id"], given["secret_access_key"], given["token"]) == ("AKIDEXAMPLE", SECRET, "TOKEN")
    assert SECRET not in repr(options)


def test_keys_that_were_renewed_are_used(files: Files) -> None:
    """A tool that writes new keys into the file in mid-run is followed."""
    files(credentials=keys())
    provider = s3_options()["credential_provider"]
    files(credentials=keys(key="AKIDRENEWED"))
    assert provider()["access_key_id"] == "AKIDRENEWED"
    assert FRESH.total_seconds() <= 15 * 60


def test_a_profile_is_chosen_by_its_variable(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_PROFILE names a section of the credentials, and ``profile NAME`` in the configuration, also for keys."""
    files(
        credentials=keys() + keys("lab", "AKIDLAB"),
        config="[profile lab]\nregion = eu-west-3\nendpoint_url = http://lab:9000\n" + keys("profile other", "AKIDO"),
    )
    monkeypatch.setenv("AWS_PROFILE", "lab")
    options = s3_options()
    assert options["credential_provider"]()["access_key_id"] == "AKIDLAB"
    assert options["region"] == "eu-west-3"
    assert options["endpoint"] == "http://lab:9000"
    assert options["client_options"] == {"allow_http": True}
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert s3_options()["credential_provider"]()["access_key_id"] == "AKIDO"


def test_the_environment_comes_first(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, region and endpoint of the environment win over the files', each by itself."""
    files(credentials=keys(), config="[default]\nregion = eu-north-1\nendpoint_url = http://there\n")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    assert s3_options().keys() == {"region", "endpoint", "client_options"}
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://here")
    assert s3_options() == {"endpoint": "https://here", "client_options": {"allow_http": False}}


def test_a_profile_that_is_not_there_is_named(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typo must not end in another account's credentials."""
    files(credentials=keys())
    monkeypatch.setenv("AWS_PROFILE", "labb")
    with pytest.raises(RequestError, match=r"AWS_PROFILE=labb: no such profile in .*credentials or .*config"):
        s3_options()


@pytest.mark.parametrize("text", [SECRET, f"[default\n{SECRET}", f"[default]\n{SECRET}\n", f"\x00[{SECRET}"])
def test_a_file_that_is_none_is_named_and_not_quoted(files: Files, text: str) -> None:
    """Whatever is wrong in it, the message says where, and nothing of what stands there."""
    files(credentials=text)
    with pytest.raises(RequestError, match=r"\.aws/credentials: cannot be read") as caught:
        s3_options()
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("way", ["role_arn", "sso_session", "credential_process"])
def test_credentials_that_are_asked_for_need_boto3(files: Files, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without boto3 the message names the extra, and the profile's keys are not used in place of its role's."""
    files(credentials=keys(), config=f"[default]\n{way} = x\n")
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "boto3" else find(name))
    with pytest.raises(MissingExtraError, match=rf"profile default: {way} needs boto3.*\[aws\]"):
        s3_options()


def test_credentials_of_a_process_are_used(files: Files) -> None:
    """With boto3 a profile's command is asked."""
    said = '{"Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "x"}'
    files(config=f"[default]\ncredential_process = echo '{said}'\n")
    assert s3_options()["credential_provider"]()["access_key_id"] == "AKIDPROCESS"


def test_a_process_that_fails_is_a_bad_request_without_its_output(files: Files) -> None:
    """What it says on its way out may be a secret."""
    files(config=f"[default]\ncredential_process = sh -c 'echo {SECRET} >&2; exit 1'\n")
    with pytest.raises(RequestError, match="profile default: credential_process: ") as caught:
        s3_options()["credential_provider"]()
    assert SECRET not in str(caught.value)


def test_a_store_is_opened_with_a_profile_alone(
    s3: str, s3_endpoint: str, temporary_keys: tuple[str, ...], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the environment but which profile: what is written arrives, and repr tells no key."""
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    section = "".join(f"{name} = {key}\n" for name, key in zip(names, temporary_keys, strict=True))
    files(
        config=f"[profile lab]\nendpoint_url = {s3_endpoint}\nregion = us-east-1\n", credentials=f"[lab]\n{section}"
    )
    monkeypatch.setenv("AWS_PROFILE", "lab")
    objects = open_objects(s3)
    assert objects.create("key", b"data")
    assert bytes(obstore.get(objects.reader(), "key").bytes()) == b"data"
    assert not [key for key in temporary_keys if key in repr(objects.reader())]
