"""What runs inside Redis, so that each change is one step there. All of them may be sent twice.

    {prefix}s:{id}   string   a record (see ``store``)
    {prefix}n:{id}   hash     snapshots by name
    {prefix}live     zset     ids of live sessions, all with score 0: ordered by id, counted at once
    {prefix}plan     zset     ids of all records by the time at which ``due`` looks at them

Times are handed on as text of 17 digits, which keeps every double. Layouts with ``>``: big-endian.
"""

from __future__ import annotations

# KEYS: live, plan, then a record's and its snapshots' key for each write.
# ARGV: max_sessions, then for each write: id, expected revision, value, snapshots to drop (1 or 0),
# snapshot's name (empty: none), snapshot's value, automatic snapshots to keep, live sessions of the
# same owner to allow (empty: any number).
# Answer for each write: {outcome} or {outcome, value held}; 1 applied, 0 another revision, 2 full,
# 3 the owner has as many as allowed.
WRITE = """
local function order(a, b)
  if a.created ~= b.created then return a.created < b.created end
  if a.step ~= b.step then return a.step < b.step end
  return a.name < b.name
end

local function put_snapshot(key, name, value, keep)
  local automatic = string.byte(value, 17) == 1
  local held = redis.call('HGET', key, name)
  if not (held and automatic and string.byte(held, 17) == 0) then
    redis.call('HSET', key, name, value)
  end
  if not automatic then return end
  local all, found = redis.call('HGETALL', key), {}
  for i = 1, #all, 2 do
    if string.byte(all[i + 1], 17) == 1 then
      local step, created = struct.unpack('>I8d', all[i + 1])
      found[#found + 1] = {name = all[i], step = step, created = created}
    end
  end
  table.sort(found, order)
  for i = 1, #found - keep do redis.call('HDEL', key, found[i].name) end
end

local function put(number)
  local record, snapshots = KEYS[1 + 2 * number], KEYS[2 + 2 * number]
  local first = 2 + 8 * (number - 1)
  local id, expected, value = ARGV[first], ARGV[first + 1], ARGV[first + 2]
  local held = redis.call('GET', record)
  local revision, was_live = '\\0\\0\\0\\0\\0\\0\\0\\0', false
  if held then
    if held == value then return {1} end
    revision, was_live = string.sub(held, 1, 8), string.byte(held, 17) == 1
  end
  if revision ~= expected then return {0, held} end
  local live = string.byte(value, 17) == 1
  if live and not was_live and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
    return {2, held}
  end
  local most = ARGV[first + 7]
  local owner = live and not was_live and most ~= '' and string.match(id, '^(.*)/')
  if owner then
    -- 0 follows / in the order of bytes.
    local owned = redis.call('ZLEXCOUNT', KEYS[1], '[' .. owner .. '/', '(' .. owner .. '0')
    if owned >= tonumber(most) then return {3, held} end
  end
  redis.call('SET', record, value)
  local expires = string.format('%.17g', (struct.unpack('>d', string.sub(value, 9, 16))))
  if held and live == was_live then
    redis.call('ZADD', KEYS[2], 'LT', expires, id)
  else
    redis.call('ZADD', KEYS[2], expires, id)
  end
  if live and not was_live then redis.call('ZADD', KEYS[1], 0, id) end
  if was_live and not live then redis.call('ZREM', KEYS[1], id) end
  if ARGV[first + 3] == '1' then redis.call('DEL', snapshots) end
  if ARGV[first + 4] ~= '' then
    put_snapshot(snapshots, ARGV[first + 4], ARGV[first + 5], tonumber(ARGV[first + 6]))
  end
  return {1}
end

local answers = {}
for number = 1, (#KEYS - 2) / 2 do answers[number] = put(number) end
return answers
"""

# KEYS: live, plan, then a record's and its snapshots' key for each. ARGV: for each: id, revision.
REMOVE = """
for number = 1, #ARGV / 2 do
  local record, snapshots = KEYS[1 + 2 * number], KEYS[2 + 2 * number]
  if redis.call('GETRANGE', record, 0, 7) == ARGV[2 * number] then
    redis.call('DEL', record, snapshots)
    redis.call('ZREM', KEYS[1], ARGV[2 * number - 1])
    redis.call('ZREM', KEYS[2], ARGV[2 * number - 1])
  end
end
return 1
"""

# KEYS: live. ARGV: lower end of the range, how many, prefix of records. Answer: id, value, id, ...
LIST = """
local answer = {}
for _, id in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '+', 'LIMIT', 0, ARGV[2])) do
  answer[#answer + 1] = id
  answer[#answer + 1] = redis.call('GET', ARGV[3] .. id)
end
return answer
"""

# KEYS: plan. ARGV: now, how many, how many to plan anew at most, prefix of records.
# Answer: id, value, id, ...
DUE = """
local now, limit, replans = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local answer = {}
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, limit + replans)
for _, id in ipairs(ids) do
  local head = redis.call('GETRANGE', ARGV[4] .. id, 0, 16)
  if #head < 17 then
    redis.call('ZREM', KEYS[1], id)
  else
    local expires = struct.unpack('>d', string.sub(head, 9, 16))
    if expires > now then
      redis.call('ZADD', KEYS[1], string.format('%.17g', expires), id)
    elseif #answer < 2 * limit then
      answer[#answer + 1] = id
      answer[#answer + 1] = redis.call('GET', ARGV[4] .. id)
    end
  end
end
return answer
"""

# KEYS: snapshots. Answer: name, header, name, ...
SNAPSHOTS = """
local answer = redis.call('HGETALL', KEYS[1])
for i = 2, #answer, 2 do answer[i] = string.sub(answer[i], 1, 17) end
return answer
"""
