"""A store in Redis, for processes on many machines; needs the extra `redis` for `from_url` only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from mlguard.arguments import seconds
from mlguard.errors import ConfigurationError, MissingDependencyError
from mlguard.integrations.redis_spend import RedisSpend
from mlguard.stores.rules import conflict, data_of, key_of, prefix_of, token_of, version_of

if TYPE_CHECKING:
    from datetime import timedelta

    from redis import Redis

__all__ = ["RedisStore"]

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
"""
_FOLLOWING = """
local function following(counter)
    local last = tonumber(redis.call('GET', counter) or 0)
    local number = math.max(last + 1, now)
    redis.call('SET', counter, number)
    return number
end
"""
_LEASE = """
local function hold(key, token, length)
    redis.call('HSET', key, 'token', token, 'acquired', now, 'expires', now + length)
    redis.call('PEXPIRE', key, math.min(math.ceil(length / 1000), 1e15))
end
local lease = redis.call('HMGET', KEYS[1], 'token', 'acquired', 'expires')
local held = lease[1] and tonumber(lease[2]) <= now and now < tonumber(lease[3])
"""

_SAVE = f"""{_NOW}{_FOLLOWING}
local there = redis.call('HGET', KEYS[1], 'version') or '0'
if ARGV[3] ~= '' and ARGV[3] ~= there then
    return {{0, tonumber(there)}}
end
local version = following(KEYS[3])
redis.call('HSET', KEYS[1], 'data', ARGV[2], 'version', version)
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return {{1, version}}
"""
_DELETE = """
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
"""
_ACQUIRE = f"""{_NOW}{_FOLLOWING}{_LEASE}
if held then
    return false
end
local token = following(KEYS[2])
hold(KEYS[1], token, tonumber(ARGV[1]))
return token
"""
_RENEW = f"""{_NOW}{_LEASE}
if not held or lease[1] ~= ARGV[1] then
    return 0
end
hold(KEYS[1], ARGV[1], tonumber(ARGV[2]))
return 1
"""
_RELEASE = f"""{_NOW}{_LEASE}
if lease[1] ~= ARGV[1] then
    return 0
end
redis.call('DEL', KEYS[1])
return held and 1 or 0
"""


class RedisStore(RedisSpend):
    """A store in Redis 5 or newer, which any number of processes on many machines share.

    Thread-safe and safe to fork, as its client is. Every operation is one command or one script,
    and leases go by the server's clock. How much a restart of the server loses is a matter of its
    `appendonly`; versions and tokens grow even if it loses everything, since they follow its clock.
    Give it a server that evicts nothing (`maxmemory-policy noeviction`), and on a cluster a
    prefix with a hash tag, such as "{mlguard}:". Errors of the client pass through.

    Args:
        client: Yours, with its timeouts and retries; made without `decode_responses`. A save that
            is sent again because its answer was lost raises StateConflict, though it was done.
        prefix: What all keys in Redis begin with.

    Raises:
        ConfigurationError: The client decodes what it reads, or `prefix` is not a string.
    """

    __slots__ = (
        "__weakref__",
        "_acquire",
        "_client",
        "_counter",
        "_delete",
        "_index",
        "_lease",
        "_release",
        "_renew",
        "_save",
        "_state",
    )

    def __init__(self, client: Redis, *, prefix: str = "mlguard:") -> None:
        if client.get_encoder().decode_responses:
            raise ConfigurationError("client: must give bytes: make it without `decode_responses`")
        start = prefix_of("prefix", prefix)
        super().__init__(client, start)
        self._client: Any = client
        self._counter = start + b"counter"
        self._index = start + b"keys"
        self._lease = start + b"lease:"
        self._state = start + b"state:"
        self._save = client.register_script(_SAVE)
        self._delete = client.register_script(_DELETE)
        self._acquire = client.register_script(_ACQUIRE)
        self._renew = client.register_script(_RENEW)
        self._release = client.register_script(_RELEASE)

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "mlguard:") -> Self:
        """Make a store from an address such as "redis://localhost:6379/0".

        Raises:
            ConfigurationError: `url` is not an address of Redis; it is not shown, since a password
                may stand in it.
            MissingDependencyError: The package `redis` is not installed.
        """
        try:
            import redis  # noqa: PLC0415 -- an extra
        except ImportError as error:
            message = "RedisStore.from_url needs the package redis: install the extra `redis`"
            raise MissingDependencyError(message) from error
        try:
            client = redis.Redis.from_url(url)
        except (AttributeError, TypeError, ValueError):
            allowed = "an address such as redis://localhost:6379/0"
            raise ConfigurationError(f"url: must be {allowed}") from None
        return cls(client, prefix=prefix)

    def load(self, key: str) -> tuple[bytes, int] | None:
        """Give the data and the version of a key, or None where there is none."""
        place = key_of("key", key)
        data, version = self._client.hmget(self._state + place, ["data", "version"])
        return None if version is None else (data, int(version))

    def save(self, key: str, data: bytes, *, if_version: int | None = None) -> int:
        """Write the data of a key and give its new version; see `Store.save`."""
        place, state, wanted = key_of("key", key), data_of(data), version_of(if_version)
        keys = [self._state + place, self._index, self._counter]
        saved, version = self._save(keys, [place, state, "" if wanted is None else wanted])
        if not saved:
            raise conflict(key, wanted or 0, version)
        return int(version)

    def keys(self, prefix: str = "") -> list[str]:
        """Give the keys that begin with a prefix, sorted."""
        start = prefix_of("prefix", prefix)
        found = self._client.zrangebylex(self._index, b"[" + start, b"(" + start + b"\xff")
        return [key.decode() for key in found]

    def delete(self, key: str) -> None:
        """Forget a key, if it is there."""
        place = key_of("key", key)
        self._delete([self._state + place, self._index], [place])

    def acquire(self, name: str, ttl: float | timedelta) -> int | None:
        """Take a lease for `ttl` and give its token; None while another holds it."""
        place, length = key_of("name", name), _microseconds(ttl)
        token: int | None = self._acquire([self._lease + place, self._counter], [length])
        return token

    def renew(self, name: str, token: int, ttl: float | timedelta) -> bool:
        """Hold the lease for another `ttl` from now; False if it was lost."""
        place, holder, length = key_of("name", name), token_of(token), _microseconds(ttl)
        return bool(self._renew([self._lease + place], [holder, length]))

    def release(self, name: str, token: int) -> bool:
        """Give the lease back; False if it was lost."""
        place, holder = key_of("name", name), token_of(token)
        return bool(self._release([self._lease + place], [holder]))


def _microseconds(ttl: float | timedelta) -> int:
    return max(1, round(seconds("ttl", ttl) * 1e6))
