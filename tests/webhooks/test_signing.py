"""Signatures are what the reference's own library accepts."""

import base64
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from whisper_service.webhooks import signing


def test_secrets_are_random_and_have_the_form_of_the_specification() -> None:
    one, two = signing.new_secret(), signing.new_secret()
    assert one != two
    assert one.startswith("whsec_")
    assert len(base64.b64decode(one.removeprefix("whsec_"), validate=True)) == 32


@settings(max_examples=20, deadline=None)
@given(st.text(st.characters(codec="utf-8")))
def test_each_secret_verifies_on_its_own(content: str) -> None:
    secrets = [signing.new_secret(), signing.new_secret()]
    body = content.encode()
    headers = signing.headers(secrets, "0" * 32, int(time.time()), body)
    for secret in secrets:
        Webhook(secret).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(secrets[0]).verify(body + b" ", headers, json_parse=False)


def test_the_last_two_secrets_sign_along_for_a_day() -> None:
    old = "[]"
    for number in range(4):
        old = signing.retire(f"secret {number}", old, now=number)
    day = signing.OVERLAP_SECONDS
    assert signing.valid_secrets("new", old, 4) == ["new", "secret 3", "secret 2"]
    assert signing.valid_secrets("new", old, day + 2) == ["new", "secret 3"]
    assert signing.valid_secrets("new", old, day + 3) == ["new"]
    assert signing.retire("new", old, day + 3) == f'[["new", {2 * day + 3}]]'
