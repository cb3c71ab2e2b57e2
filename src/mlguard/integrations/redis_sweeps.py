"""The scripts that go through the accounts of a prefix, in Lua.

They make the keys of the accounts themselves. The server answers nobody else meanwhile.
"""

from __future__ import annotations

from mlguard.integrations.redis_scripts import BOOKS

_PREFIX = (
    BOOKS
    + """
local start, prefix = ARGV[1], ARGV[2]
local function begins(account)
    return string.sub(account, 1, #prefix) == prefix
end
local function opened(account)
    local function key(kind)
        return start .. kind .. account
    end
    return {account = account, rows = key('rows:'), sums = key('sums:'), slots = key('slots:'),
            ids = key('ids:')}
end
local function books()
    local found = redis.call('ZRANGEBYLEX', KEYS[1], '[' .. prefix, '(' .. prefix .. '\\255')
    for place, account in ipairs(found) do
        found[place] = opened(account)
    end
    return ipairs(found)
end
local function rows(book)
    local flat = redis.call('HGETALL', book.rows)
    local place = -1
    return function()
        place = place + 2
        if flat[place] then
            return flat[place], parsed(flat[place + 1])
        end
    end
end
"""
)
TOTALS = (
    _PREFIX
    + """
local found = {}
for _, book in books() do
    local spent, reserved = total(book, ARGV[3])
    found[#found + 1] = {book.account, spent, reserved}
end
return found
"""
)
ENTRIES = (
    _PREFIX
    + """
local found = {}
for _, book in books() do
    found[#found + 1] = {book.account, redis.call('HGETALL', book.rows)}
end
return found
"""
)
REAP = (
    _PREFIX
    + """
local ended = 0
for _, lease in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[3])) do
    local account, id = string.match(lease, '^(.*)\\n(.*)$')
    if begins(account) then
        local book = opened(account)
        local there = redis.call('HGET', book.rows, id)
        if there and live(parsed(there)) then
            local row = parsed(there)
            unsettled(row)
            put(book, id, parsed(there), row)
            ended = ended + 1
        else
            redis.call('ZREM', KEYS[2], lease)
        end
    end
end
return ended
"""
)
COMPACT = (
    _PREFIX
    + """
local before, nothing, gone = ARGV[3], ARGV[4], 0
local compacted = parsed(nothing).slot
for _, book in books() do
    local slots = redis.call('ZRANGEBYSCORE', book.slots, '(' .. compacted, '(' .. before)
    local ids, sums, all = {}, {}, {0, 0}
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', book.ids, '-inf', '(' .. before)) do
        local row = parsed(redis.call('HGET', book.rows, id))
        if not live(row) then
            ids[#ids + 1] = id
            sums[row.slot] = plus(sums[row.slot] or {0, 0}, row.charged)
            plus(all, row.charged)
        end
    end
    if #ids > 0 then
        local there = redis.call('HGET', book.rows, '')
        local sum = parsed(there or nothing)
        sum.charged = written(plus(all, sum.charged))
        put(book, '', there and parsed(there), sum)
        for slot, charged in pairs(sums) do
            count(book, 's', slot, '0', written(charged))
        end
        for first = 1, #ids, 1000 do
            redis.call('HDEL', book.rows, unpack(ids, first, math.min(first + 999, #ids)))
            redis.call('ZREM', book.ids, unpack(ids, first, math.min(first + 999, #ids)))
        end
        gone = gone + #ids
    end
    local newest = redis.call('ZREVRANGE', book.slots, 0, 0)[1]
    local left = counters(book, slots)
    for place, slot in ipairs(slots) do
        if slot ~= newest and left[2 * place - 1] == '0' and left[2 * place] == '0' then
            redis.call('HDEL', book.sums, 's' .. slot, 'r' .. slot)
            redis.call('ZREM', book.slots, slot)
        end
    end
end
return gone
"""
)
RECONCILE = (
    _PREFIX
    + """
local found = {}
for _, book in books() do
    local slots = redis.call('ZRANGE', book.slots, 0, -1)
    local counted, right = {}, {}
    for place, text in ipairs(counters(book, slots)) do
        counted[(place % 2 == 1 and 's' or 'r') .. slots[math.ceil(place / 2)]] = text
    end
    for _, slot in ipairs(slots) do
        right[slot] = {{0, 0}, {0, 0}}
    end
    for id, row in rows(book) do
        local sums = right[row.slot] or {{0, 0}, {0, 0}}
        right[row.slot] = sums
        plus(sums[1], row.charged)
        plus(sums[2], held(row))
        if live(row) then
            redis.call('ZADD', KEYS[2], row.expires, book.account .. '\\n' .. id)
        end
    end
    redis.call('HDEL', book.sums, 'oldest')
    for slot, sums in pairs(right) do
        local s, r = counted['s' .. slot] or '0', counted['r' .. slot] or '0'
        local spent, reserved = written(sums[1]), written(sums[2])
        if s ~= spent or r ~= reserved then
            found[#found + 1] = {book.account, slot, s, r, spent, reserved}
            redis.call('HSET', book.sums, 's' .. slot, spent, 'r' .. slot, reserved)
            redis.call('ZADD', book.slots, slot, slot)
        end
    end
end
return found
"""
)
