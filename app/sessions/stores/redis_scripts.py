"""What runs inside Redis, so that each change is one step there. All of them may be sent twice.

    {prefix}s:{id}   string   a record (see ``store``)
    {prefix}n:{id}   hash     snapshots by name
    {prefix}live     zset     ids of live sessions, all with score 0: ordered by id, counted at once
    {prefix}plan     zset     ids of all records by the time at which ``due`` looks at them
    {prefix}mark     hash     run: run_id of the Redis that serves; last: the greatest revision written; base:
                              what that was when this Redis began; lost: records up to here may lack steps
                              that were acknowledged
    {prefix}settling string   there while clients of a new Redis say what they remember

Times are handed on as text of 17 digits, which keeps every double. Layouts with ``>``: big-endian.
"""

from __future__ import annotations

# Revisions become doubles in Lua, which keep their order, but not the last bits of each.
#
# KEYS: mark, settling. ARGV: run_id, greatest revision that this client remembers from before, milliseconds
# to settle. Answer: 1 where it remembers what is lost, and nobody has said so.
ARRIVE = """
local mark = redis.call('HMGET', KEYS[1], 'run', 'base', 'last', 'lost')
local base, last, lost = tonumber(mark[2] or 0), tonumber(mark[3] or 0), tonumber(mark[4] or 0)
if mark[1] ~= ARGV[1] then
  base = last
  redis.call('HSET', KEYS[1], 'run', ARGV[1], 'base', string.format('%.17g', base))
  if mark[1] then redis.call('SET', KEYS[2], '1', 'PX', ARGV[3]) end
end
local seen, back = tonumber(ARGV[2]), 0
if seen > last then back = last elseif seen > base then back = base end
if back <= lost then return 0 end
redis.call('HSET', KEYS[1], 'lost', string.format('%.17g', back))
return 1
"""

# KEYS: live, plan, mark, settling, then a record's and its snapshots' key for each write.
# ARGV: max_sessions, then for each write: id, expected revision, value, snapshots to drop (1 or 0),
# snapshot's name (empty: none), snapshot's value, automatic snapshots to keep, live sessions of the
# same owner to allow (empty: any number), whether its caller says which step it is (1 or 0).
# Answer for each write: {outcome} or {outcome, value held}; 1 applied, 0 another revision, 2 full,
# 3 the owner has as many as allowed, 4 steps of it may be lost, 5 that is not known yet.
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

local mark = redis.call('HMGET', KEYS[3], 'base', 'last', 'lost')
local base, last, lost = tonumber(mark[1] or 0), tonumber(mark[2] or 0), tonumber(mark[3] or 0)
local settling = redis.call('EXISTS', KEYS[4]) == 1
local greatest = last

local function put(number)
  local record, snapshots = KEYS[3 + 2 * number], KEYS[4 + 2 * number]
  local first = 2 + 9 * (number - 1)
  local id, expected, value = ARGV[first], ARGV[first + 1], ARGV[first + 2]
  local held = redis.call('GET', record)
  local revision, was_live = '\\0\\0\\0\\0\\0\\0\\0\\0', false
  if held then
    if held == value then return {1} end
    revision, was_live = string.sub(held, 1, 8), string.byte(held, 17) == 1
  end
  if revision ~= expected then return {0, held} end
  if held and ARGV[first + 8] == '0' then
    local known = struct.unpack('>I8', held)
    if known <= lost then return {4, held} end
    if settling and known <= base then return {5, held} end
  end
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
  greatest = math.max(greatest, (struct.unpack('>I8', value)))
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
for number = 1, (#KEYS - 4) / 2 do answers[number] = put(number) end
if greatest > last then redis.call('HSET', KEYS[3], 'last', string.format('%.17g', greatest)) end
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
