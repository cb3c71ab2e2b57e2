"""The scripts of the spend in Redis, in Lua.

KEYS[1] has the accounts and KEYS[2] the leases of all, by their end. Each account has its rows by
id, its counters ("s" spent, "r" reserved) by slot, and also from the slot on that it was last asked
for, its slots, and its ids by slot. `back` of a row is what refunds took back of it; its token is
last, as it may have any character.
"""

from __future__ import annotations

# Numbers of Lua are exact to 2**53 only, and amounts go to 2**60: a sum is two of them, of billions
# and of the rest. Redis itself adds up the counters; beyond 2**63 it refuses, and that comes first.
_SUMS = """
local function carry(sum)
    local rest = sum[2] % 1e9
    sum[1], sum[2] = sum[1] + (sum[2] - rest) / 1e9, rest
    return sum
end
local function plus(sum, text)
    if #text < 13 then
        sum[2] = sum[2] + tonumber(text)
    else
        local sign = string.sub(text, 1, 1) == '-' and -1 or 1
        sum[1] = sum[1] + tonumber(string.sub(text, 1, -10))
        sum[2] = sum[2] + sign * tonumber(string.sub(text, -9))
    end
    return math.abs(sum[2]) > 1e15 and carry(sum) or sum
end
local function sum_of(...)
    local sum = {0, 0}
    for _, text in ipairs({...}) do
        plus(sum, text)
    end
    return carry(sum)
end
local function more(sum, other)
    return sum[1] > other[1] or sum[1] == other[1] and sum[2] > other[2]
end
local function written(sum)
    carry(sum)
    if sum[1] < 0 then
        return '-' .. written({-sum[1], -sum[2]})
    end
    return (string.gsub(string.format('%.0f%09.0f', sum[1], sum[2]), '^0+(%d)', '%1'))
end
local function minus(text)
    return text == '0' and text or (string.gsub('-' .. text, '^%-%-', ''))
end
"""

BOOKS = (
    _SUMS
    + """
local function parsed(text)
    local row = {}
    row.slot, row.reserved, row.state, row.charged, row.floor, row.expires, row.rule, row.back,
        row.token = string.match(text, '^(.-)|(.-)|(.-)|(.-)|(.-)|(.-)|(.-)|(.-)|(.*)$')
    return row
end
local function packed(row)
    return table.concat({row.slot, row.reserved, row.state, row.charged, row.floor, row.expires,
                         row.rule, row.back, row.token}, '|')
end
local function attempt(id, token)
    return id .. '\\nleft ' .. token
end
local function live(row)
    return row.state == 'open' or row.state == 'dispatched'
end
local function held(row)
    return live(row) and row.reserved or '0'
end
local function later(one, other)
    return tonumber(one) > tonumber(other) and one or other
end
local function unsettled(row)
    if row.state == 'open' then
        row.state = 'released'
    elseif row.state == 'dispatched' then
        row.state, row.charged = 'left', row.floor
        if row.rule == 'reserved' and more(sum_of(row.reserved), sum_of(row.floor)) then
            row.charged = row.reserved
        end
    end
end
local function add(book, field, now, before)
    if now ~= '0' then
        redis.call('HINCRBY', book.sums, field, now)
    end
    if before ~= '0' then
        redis.call('HINCRBY', book.sums, field, minus(before))
    end
end
local function count(book, kind, slot, now, before)
    if now ~= before then
        local oldest = redis.call('HGET', book.sums, 'oldest')
        if oldest and tonumber(slot) >= tonumber(oldest) then
            add(book, kind, now, before)
        end
        add(book, kind .. slot, now, before)
    end
end
local function put(book, id, found, row)
    count(book, 's', row.slot, row.charged, found and found.charged or '0')
    count(book, 'r', row.slot, held(row), found and held(found) or '0')
    redis.call('HSET', book.rows, id, packed(row))
    if live(row) then
        redis.call('ZADD', KEYS[2], row.expires, book.account .. '\\n' .. id)
    elseif found and live(found) then
        redis.call('ZREM', KEYS[2], book.account .. '\\n' .. id)
    end
    if row.state ~= 'sum' and not (found and found.slot == row.slot) then
        redis.call('ZADD', book.ids, row.slot, id)
    end
    if redis.call('ZADD', book.slots, row.slot, row.slot) == 1 then
        redis.call('ZADD', KEYS[1], 0, book.account)
    end
end
local function of_attempt(book, id, token)
    local there = redis.call('HGET', book.rows, id)
    if token ~= '' and not (there and parsed(there).token == token) then
        local left = redis.call('HGET', book.rows, attempt(id, token))
        if left then
            return left, attempt(id, token)
        end
    end
    return there, id
end
local function counters(book, slots)
    local texts = {}
    for first = 1, #slots, 1000 do
        local fields = {}
        for place = first, math.min(first + 999, #slots) do
            fields[#fields + 1] = 's' .. slots[place]
            fields[#fields + 1] = 'r' .. slots[place]
        end
        for _, text in ipairs(redis.call('HMGET', book.sums, unpack(fields))) do
            texts[#texts + 1] = text or '0'
        end
    end
    return texts
end
local function total(book, oldest)
    local newest = redis.call('ZREVRANGE', book.slots, 0, 0)[1] or false
    local last, s, r = unpack(redis.call('HMGET', book.sums, 'oldest', 's', 'r'))
    if last == oldest then
        return sum_of(s), sum_of(r), newest, true
    end
    local spent, reserved = {0, 0}, {0, 0}
    local slots = redis.call('ZRANGEBYSCORE', book.slots, oldest, '+inf')
    for place, text in ipairs(counters(book, slots)) do
        plus(place % 2 == 1 and spent or reserved, text)
    end
    return carry(spent), carry(reserved), newest
end
local function book_of(place, account)
    local rows, sums, slots, ids = unpack(KEYS, 4 * place - 1, 4 * place + 2)
    return {account = account, rows = rows, sums = sums, slots = slots, ids = ids}
end
"""
)
RESERVE = (
    BOOKS
    + """
local looked, puts = {}, {}
for place = 1, #ARGV / 5 do
    local account, id, asked, cap, oldest = unpack(ARGV, 5 * place - 4, 5 * place)
    local book, row = book_of(place, account), parsed(asked)
    local there = redis.call('HGET', book.rows, id)
    local found = there and parsed(there)
    local spent, reserved, newest, kept = total(book, oldest)
    if not kept then
        redis.call('HSET', book.sums, 'oldest', oldest, 's', written(spent), 'r', written(reserved))
    end
    local left = found and redis.call('HEXISTS', book.rows, attempt(id, row.token)) or 0
    looked[place] = {there, newest, spent, reserved, left}
    if found and (live(found) or found.state == 'settled') then
        local same = found.token == row.token and found.reserved == row.reserved
        if live(found) and not same then
            return {0, looked}
        end
        local expires = same and later(found.expires, row.expires) or found.expires
        row = parsed(there)
        row.expires = expires
    elseif left == 1 or found and found.state == 'left' and found.token == row.token then
        return {0, looked}
    else
        local wanted = plus({spent[1] + reserved[1], spent[2] + reserved[2]}, row.reserved)
        local behind = newest and tonumber(newest) > tonumber(row.slot)
        if behind or more(carry(wanted), sum_of(cap)) then
            return {0, looked}
        end
    end
    puts[place] = {book, id, found, row, there}
end
for _, each in ipairs(puts) do
    local book, id, found, row, there = unpack(each)
    if found and found.state == 'left' then
        local name = attempt(id, found.token)
        put(book, id, false, row)
        redis.call('HSET', book.rows, name, there)
        redis.call('ZADD', book.ids, found.slot, name)
    else
        put(book, id, found, row)
    end
end
return {1, looked}
"""
)
DISPATCH = (
    BOOKS
    + """
local account, call, token, floor, expires = unpack(ARGV)
local book = book_of(1, account)
local there, id = of_attempt(book, call, token)
if there then
    local found, row = parsed(there), parsed(there)
    if row.token == token and (live(row) or row.state == 'left') then
        if more(sum_of(floor), sum_of(row.floor)) then
            row.floor = floor
        end
        row.state = 'dispatched'
        if live(found) then
            row.expires = later(row.expires, expires)
        else
            unsettled(row)
        end
        put(book, id, found, row)
    end
end
return {there, id}
"""
)
SETTLE = (
    BOOKS
    + """
local account, call, token, actual = unpack(ARGV)
local book = book_of(1, account)
local there, id = of_attempt(book, call, token)
if there then
    local found, row = parsed(there), parsed(there)
    if actual == '' then
        if row.token == token then
            unsettled(row)
        end
    elseif row.state ~= 'settled' and (token == '' or row.token == token) then
        row.state, row.charged = 'settled', actual
    end
    put(book, id, found, row)
end
return {there, id}
"""
)
REFUND = (
    BOOKS
    + """
local account, id, refund, asked, amount = unpack(ARGV)
local book = book_of(1, account)
local there, before = unpack(redis.call('HMGET', book.rows, id, refund))
local charged = there and parsed(there)
if charged and charged.state == 'settled' and not before then
    local back = sum_of(charged.back, amount)
    if not more(back, sum_of(charged.charged)) then
        local row = parsed(asked)
        row.slot = charged.slot
        put(book, refund, false, row)
        charged.back = written(back)
        redis.call('HSET', book.rows, id, packed(charged))
    end
end
return {there, before}
"""
)
TOTAL = (
    BOOKS
    + """
local spent, reserved = total(book_of(1), ARGV[1])
return {spent, reserved}
"""
)
