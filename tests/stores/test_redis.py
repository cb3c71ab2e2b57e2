"""What is special about the store in Redis."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from mlguard import ConfigurationError, MissingDependencyError, StateConflict
from mlguard.integrations.redis import RedisStore

redis = pytest.importorskip("redis")

if TYPE_CHECKING:
    from redis import Redis

NUMBERS = count()


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def prefix() -> str:
    return f"special {next(NUMBERS)}:"


def test_stores_of_different_prefixes_do_not_meet(client: Redis, prefix: str) -> None:
    store, other = RedisStore(client, prefix=prefix), RedisStore(client, prefix=f"{prefix}2:")
    store.save("key", b"")
    assert (other.load("key"), other.keys()) == (None, [])
    assert store.acquire("decider", 60.0)
    assert other.acquire("decider", 60.0)
    assert {key.split(b":")[0] for key in client.scan_iter(f"{prefix}*")} == {prefix[:-1].encode()}


def test_versions_and_tokens_grow_even_if_the_server_loses_everything(
    client: Redis, prefix: str
) -> None:
    store = RedisStore(client, prefix=prefix)
    version, token = store.save("key", b""), store.acquire("decider", 60.0)
    assert token is not None
    client.delete(*client.scan_iter(f"{prefix}*"))
    assert store.load("key") is None
    later = store.acquire("decider", 60.0)
    assert later is not None
    assert later > token > version
    assert store.save("key", b"", if_version=0) > later


def test_a_lease_ends_by_the_clock_of_the_server(client: Redis, prefix: str) -> None:
    store = RedisStore(client, prefix=prefix)
    first = store.acquire("decider", 0.05)
    assert first is not None
    while (second := store.acquire("decider", 60.0)) is None:
        pass
    assert second > first
    assert not store.release("decider", first)


def test_the_server_forgets_a_lease_that_has_ended(client: Redis, prefix: str) -> None:
    store = RedisStore(client, prefix=prefix)
    token = store.acquire("decider", 60.0)
    assert token is not None
    (lease,) = client.scan_iter(f"{prefix}lease:*")
    assert 0 < client.pttl(lease) <= 60_000
    assert store.renew("decider", token, 600.0)
    assert 60_000 < client.pttl(lease) <= 600_000


def test_it_survives_that_the_server_forgets_its_scripts(client: Redis, prefix: str) -> None:
    store = RedisStore(client, prefix=prefix)
    version = store.save("key", b"1")
    client.script_flush()
    assert store.save("key", b"2", if_version=version) > version
    with pytest.raises(StateConflict, match=r"'key': version [0-9]+ is there, not version 1;"):
        store.save("key", b"3", if_version=1)


def test_a_client_that_decodes_is_refused(redis_url: str) -> None:
    with (
        redis.Redis.from_url(redis_url, decode_responses=True) as client,
        pytest.raises(ConfigurationError, match=r"^client: .* without `decode_responses`"),
    ):
        RedisStore(client)


@pytest.mark.parametrize("url", ["", "http://user:hush@host", "redis://:hush@host:port/0", None, 5])
def test_a_bad_address_is_refused_and_not_shown(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^url: must be an address such as") as caught:
        RedisStore.from_url(url)
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("bad", [None, 5, "\ud800"])
def test_a_bad_prefix_is_refused(client: Redis, bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^prefix = "):
        RedisStore(client, prefix=bad)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingDependencyError, match="install the extra `redis`"):
        RedisStore.from_url("redis://localhost")


def test_a_server_that_is_gone_is_the_clients_error() -> None:
    options = {"host": "127.0.0.1", "port": 1, "retry": None, "socket_timeout": 5.0}
    with redis.Redis(**options) as client, pytest.raises(redis.exceptions.ConnectionError):
        RedisStore(client).save("key", b"")
