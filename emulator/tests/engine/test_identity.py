"""Access tokens."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.engine.identity import Identity, Tokens, identity_of
from gcp_emulator.engine.store import Store

ANN = Identity("user:ann@example.com")


def test_the_kind_of_an_identity_is_told_from_its_address() -> None:
    assert identity_of("ann@example.com") == ANN
    assert identity_of("web@p.iam.gserviceaccount.com").kind == "serviceAccount"
    assert identity_of("1-compute@developer.gserviceaccount.com").kind == "serviceAccount"


def test_a_token_is_its_bearer_s_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 1_000_000.0
    monkeypatch.setattr("gcp_emulator.engine.identity.time.time", lambda: moment)
    tokens = Tokens(Store(None))
    token, seconds = tokens.issue(ANN)
    assert seconds == 3600
    assert tokens.authenticate(f"Bearer {token}") == ANN
    moment += 3599
    assert tokens.resolve(token) == (ANN, 1)
    moment += 1
    assert tokens.resolve(token) is None


@pytest.mark.parametrize(
    ("header", "begins"),
    [
        (None, "Request is missing required authentication credential."),
        ("", "Request is missing required authentication credential."),
        ("Basic YTpi", "Request is missing required authentication credential."),
        ("Bearer ", "Request is missing required authentication credential."),
        ("Bearer ya29.unknown", "Request had invalid authentication credentials."),
    ],
)
def test_without_a_good_token_a_call_is_unauthenticated(header: str | None, begins: str) -> None:
    with pytest.raises(ApiError) as refused:
        Tokens(Store(None)).authenticate(header)
    assert (refused.value.code, refused.value.status) == (401, "UNAUTHENTICATED")
    assert refused.value.message.startswith(begins)


def test_tokens_survive_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    token, _ = Tokens(store).issue(ANN, scope="email")
    store.close()
    again = Tokens(Store(tmp_path / "store.sqlite"))
    found = again.resolve(token)
    assert found is not None
    assert (found[0], again.scope(token)) == (ANN, "email")


def test_expired_tokens_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(None)
    Tokens(store).issue(ANN)
    Tokens(store)
    assert len(store.collection("tokens")) == 1
    later = time.time() + 3601
    monkeypatch.setattr("gcp_emulator.engine.identity.time.time", lambda: later)
    Tokens(store)
    assert len(store.collection("tokens")) == 0


def test_all_tokens_of_one_caller_can_be_ended() -> None:
    tokens = Tokens(Store(None))
    hers = [tokens.issue(ANN)[0] for _ in range(2)]
    other, _ = tokens.issue(identity_of("bob@example.com"))
    tokens.revoke_all(ANN)
    assert [tokens.resolve(token) for token in hers] == [None, None]
    assert tokens.resolve(other) is not None
