/**
 * The steps that must not be interleaved, as Lua that the cache runs atomically. Each works on one entry (or on entries of one hash tag), so all of
 * them work in cluster mode. Clocks are the cache's own.
 *
 * An entry is a hash: `d` data, `t` the space's version it belongs to, `f` and `h` when it stops being fresh and being there at all, `c` what its
 * load took (ms); `l`, `lx` the lease of the one that loads it; `w:<token>` an unfinished write and until when it counts, `wx` the latest of
 * these, `o` = writes overlapped; `p` the queued write that the data comes from, `x` = something else changed it meanwhile.
 */
import { createHash } from "node:crypto";

export interface Script {
  readonly lua: string;
  readonly sha: string;
}

const PRELUDE = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function keep(key, ms)
  if redis.call('PTTL', key) < tonumber(ms) then redis.call('PEXPIRE', key, ms) end
end
local function drop(key) redis.call('HDEL', key, 'd', 't', 'f', 'h', 'c', 'l', 'lx') end
local function put(key, data, version, fresh, hard, cost)
  redis.call('HSET', key, 'd', data, 't', version, 'f', now + fresh, 'h', now + hard, 'c', cost)
  redis.call('HDEL', key, 'l', 'lx')
  redis.call('PEXPIRE', key, hard)
end
local function others(key, mine)
  local live, dead, last = 0, 0, 0
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'w:' and field ~= mine then
      local ends = tonumber(redis.call('HGET', key, field))
      if ends > now then live = live + 1; last = math.max(last, ends)
      else dead = dead + 1; redis.call('HDEL', key, field) end
    end
  end
  return live, dead, last
end
local function owner(token) return string.match(token, '^(.*)#') end
`;

function script(body: string): Script {
  const lua = PRELUDE + body;
  return { lua, sha: createHash("sha1").update(lua).digest("hex") };
}

/** version, lease token, lease ms → hit data remaining cost | stale data granted | lead | wait ms | bypass */
export const READ = script(`
local e = redis.call('HMGET', KEYS[1], 'd', 't', 'f', 'h', 'c', 'lx', 'wx', 'p')
if e[1] and e[8] then return {'hit', e[1], 0, 0} end
local there = e[1] and e[2] == ARGV[1] and tonumber(e[4]) > now
if there and tonumber(e[3]) > now then return {'hit', e[1], e[3] - now, tonumber(e[5])} end
local leased = e[6] and tonumber(e[6]) > now
if not there and e[7] and tonumber(e[7]) > now then return {'bypass'} end
if leased then
  if there then return {'stale', e[1], 0} end
  return {'wait', e[6] - now}
end
if not there then drop(KEYS[1]) end
redis.call('HSET', KEYS[1], 'l', ARGV[2], 'lx', now + ARGV[3])
keep(KEYS[1], ARGV[3])
if there then return {'stale', e[1], 1} end
return {'lead'}
`);

/** lease token, lease ms → 1 when granted. For a refresh before the time. */
export const LEASE = script(`
local e = redis.call('HMGET', KEYS[1], 'd', 'lx', 'p')
if not e[1] or e[3] or (e[2] and tonumber(e[2]) > now) then return 0 end
redis.call('HSET', KEYS[1], 'l', ARGV[1], 'lx', now + ARGV[2])
keep(KEYS[1], ARGV[2])
return 1
`);

/** lease token, data, version, fresh ms, hard ms, cost → 1 when stored, 0 when the lease is gone: the entry changed since the load began */
export const FILL = script(`
if redis.call('HGET', KEYS[1], 'l') ~= ARGV[1] then return 0 end
put(KEYS[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
return 1
`);

/** lease token: the load failed, the next one may try */
export const RELEASE = script(`
if redis.call('HGET', KEYS[1], 'l') == ARGV[1] then redis.call('HDEL', KEYS[1], 'l', 'lx') end
return 1
`);

/** channel, then a message for each key. Unfinished and queued writes stay. */
export const INVALIDATE = script(`
for i, key in ipairs(KEYS) do
  if redis.call('HEXISTS', key, 'p') == 1 then redis.call('HSET', key, 'x', 1)
  else drop(key) end
  redis.call('PUBLISH', ARGV[1], ARGV[i + 1])
end
return 1
`);

/** write token, ms, channel, message → 1, or the token of the queued write that must go first */
export const BEGIN = script(`
local pending = redis.call('HGET', KEYS[1], 'p')
if pending then return pending end
local mine = 'w:' .. ARGV[1]
local live, dead, last = others(KEYS[1], mine)
drop(KEYS[1])
redis.call('HSET', KEYS[1], mine, now + ARGV[2], 'wx', math.max(last, now + ARGV[2]))
if live + dead > 0 then redis.call('HSET', KEYS[1], 'o', 1) end
keep(KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
`);

/** write token, ms → 1 when the write still counts */
export const RENEW = script(`
local mine = 'w:' .. ARGV[1]
local ends = redis.call('HGET', KEYS[1], mine)
if not ends or tonumber(ends) <= now then return 0 end
redis.call('HSET', KEYS[1], mine, now + ARGV[2], 'wx', math.max(now + ARGV[2], tonumber(redis.call('HGET', KEYS[1], 'wx'))))
keep(KEYS[1], ARGV[2])
return 1
`);

/**
 * write token, data or nothing, version, fresh ms, hard ms, channel, message → 1 when the write was alone from begin to end. Only then its value is
 * stored: of writes that overlap nobody here knows which the database took last.
 */
export const FINISH = script(`
local mine = 'w:' .. ARGV[1]
local ends = redis.call('HGET', KEYS[1], mine)
redis.call('HDEL', KEYS[1], mine)
local live, dead, last = others(KEYS[1], mine)
local clean = ends and tonumber(ends) > now
if clean and live + dead == 0 and redis.call('HEXISTS', KEYS[1], 'o') == 0 then
  redis.call('DEL', KEYS[1])
  if ARGV[2] ~= '' then put(KEYS[1], string.sub(ARGV[2], 2), ARGV[3], ARGV[4], ARGV[5], 0) end
  return 1
end
drop(KEYS[1])
if live > 0 then redis.call('HSET', KEYS[1], 'o', 1, 'wx', last)
else redis.call('HDEL', KEYS[1], 'o', 'wx') end
if redis.call('HEXISTS', KEYS[1], 'p') == 1 then redis.call('HSET', KEYS[1], 'x', 1) end
redis.call('PUBLISH', ARGV[6], ARGV[7])
if clean then return 1 end
return 0
`);

/** token, data, version, pin ms, channel, message → 1, or what must go first */
export const STAGE = script(`
local e = redis.call('HMGET', KEYS[1], 'p', 'wx')
if e[1] and owner(e[1]) ~= owner(ARGV[1]) then return e[1] end
if e[2] and tonumber(e[2]) > now then return 'a write through' end
drop(KEYS[1])
redis.call('HSET', KEYS[1], 'd', ARGV[2], 't', ARGV[3], 'f', now, 'h', now + ARGV[4], 'p', ARGV[1])
keep(KEYS[1], ARGV[4])
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
`);

/**
 * token, written (1 or 0), version, fresh ms, hard ms, channel, message. The queued value becomes an ordinary entry if it is still the one
 * that stands and the database took it; a later one of the same queue stays; anything else is dropped.
 */
export const SETTLE = script(`
local e = redis.call('HMGET', KEYS[1], 'p', 'x', 'd')
if e[1] == ARGV[1] and not e[2] and e[3] and ARGV[2] == '1' then
  redis.call('HDEL', KEYS[1], 'p')
  put(KEYS[1], e[3], ARGV[3], ARGV[4], ARGV[5], 0)
  return 1
end
if e[1] and e[1] ~= ARGV[1] and owner(e[1]) == owner(ARGV[1]) then return 1 end
drop(KEYS[1])
redis.call('HDEL', KEYS[1], 'p', 'x')
if redis.call('HEXISTS', KEYS[1], 'wx') == 1 then redis.call('HSET', KEYS[1], 'o', 1) end
redis.call('PUBLISH', ARGV[6], ARGV[7])
return 1
`);

/** new version, channel, message */
export const BUMP = script(`
redis.call('SET', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
`);
