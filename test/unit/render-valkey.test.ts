/** valkey.conf, its users, its ports and the door, word by word. Cannot prove that Valkey and HAProxy take them: test/mirror/stage3 does. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cacheContainerMemory, cacheDoorPort, cacheNodePort, foreseenCacheNodes } from "../../plan/cache.ts";
import { renderCacheDoor } from "../../plan/render/cache-door.ts";
import { CACHE_USERS, renderCacheUsers, renderValkey } from "../../plan/render/valkey.ts";
import { gib, kib, mib } from "../../plan/types.ts";

const CONFIG = `port 0
tls-port 7433
protected-mode no
tls-cert-file /etc/pgladder/cache.crt
tls-key-file /etc/pgladder/cache.key
tls-ca-cert-file /etc/pgladder/ca.crt
tls-auth-clients no
tls-protocols "TLSv1.2 TLSv1.3"
tls-replication yes
tls-cluster yes
aclfile /etc/pgladder/users.acl
primaryuser ladder_cache_copy
primaryauth copy-password
cluster-enabled yes
cluster-port 16379
cluster-node-timeout 15000
cluster-announce-client-ipv4 127.0.0.1
cluster-announce-human-nodename cache-0-1
cluster-allow-replica-migration no
cluster-require-full-coverage no
repl-ping-replica-period 2
repl-timeout 10
repl-diskless-sync-delay 0
dir /var/lib/valkey
appendonly yes
appendfsync everysec
save ""
maxmemory 262144kb
maxmemory-policy allkeys-lru
tcp-keepalive 60
`;

test("valkey.conf", () => {
  expect(renderValkey({ name: "cache-0-1", port: 7433, memory: mib(256), password: "copy-password" })).toBe(CONFIG);
});

test("users: each may do what it needs, and nobody comes in as default", () => {
  const digests = Object.fromEntries(Object.values(CACHE_USERS).map(({ role }) => [role, `of-${role}`]));
  expect(renderCacheUsers(digests).split("\n")).toEqual([
    "user default off resetpass resetkeys resetchannels -@all",
    "user app on #of-cache_app ~* &* -@all +@all -@admin -@dangerous +info +cluster|info +cluster|keyslot +cluster|myid +cluster|nodes +cluster|shards +cluster|slots",
    "user ladder_cache on #of-ladder_cache -@all +role +info +cluster +config|get +config|set +acl|setuser +client|kill +flushall",
    "user ladder_cache_copy on #of-ladder_cache_copy -@all +psync +replconf +ping",
    "user ladder_cache_door on #of-ladder_cache_door -@all +role +cluster|info",
    "",
  ]);
});

test("the door asks every node that the group can have for a primary whose cluster works", () => {
  const config = renderCacheDoor({ port: 7432, nodes: foreseenCacheNodes(6432), password: "door-password" });
  expect(config.slice(config.indexOf("listen cache"))).toBe(`listen cache
  bind :7432
  tcp-request connection reject if { src 127.0.0.0/8 }
  option tcp-check
  tcp-check send "AUTH ladder_cache_door door-password\\r\\n"
  tcp-check expect string +OK
  tcp-check send "ROLE\\r\\n"
  tcp-check expect min-recv 14 string master
  tcp-check send "CLUSTER INFO\\r\\n"
  tcp-check expect min-recv 24 string cluster_state:ok
  server cache-0-1 cache-0-1:7433 check
  server cache-0-2 cache-0-2:7434 check
  server cache-0-3 cache-0-3:7435 check
  server cache-0-4 cache-0-4:7436 check
  server cache-0-5 cache-0-5:7437 check
  server cache-0-6 cache-0-6:7438 check
`);
  expect(config).not.toContain("on-marked-down");
  for (const line of ["srvtcpka-idle 2s", "srvtcpka-intvl 1s", "srvtcpka-cnt 3"]) expect(config).toContain(line);
  expect(config).toContain(" tcp-ut 3s ");
  expect(config).toContain("check-ssl verify required ca-file ca.crt");
});

describe("ports", () => {
  test("follow the pooler's by 1,000, six a group", () => {
    const port = (name: string, group: number) => cacheNodePort(6432, { name, group });
    expect([cacheDoorPort(6432), port("cache-0-1", 0), port("cache-0-2", 0), port("cache-1-1", 1), port("cache-2-3", 2)]).toEqual([
      7432, 7433, 7434, 7439, 7447,
    ]);
    expect([cacheDoorPort(60_000), cacheDoorPort(60_001), cacheDoorPort(65_535)]).toEqual([61_000, 59_001, 64_535]);
  });

  test("are ports, each once, and never the pooler's nor those of 400 further regions after it", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1_024, max: 65_535 }), (port) => {
        const nodes = Array.from({ length: 90 }, (_, group) => [1, 2, 3, 4, 5, 6].map((n) => ({ name: `cache-${group}-${n}`, group })));
        const ports = [cacheDoorPort(port), ...nodes.flat().map((node) => cacheNodePort(port, node))];
        expect(new Set(ports).size).toBe(541);
        expect(Math.min(...ports) > port + 400 || Math.max(...ports) < port).toBe(true);
        expect([Math.min(...ports) >= 1_024, Math.max(...ports) <= 65_535]).toEqual([true, true]);
      }),
    );
  });
});

test("a container has half of the data and 64 MB more than its data", () => {
  expect([gib(2), mib(64), kib(1_001)].map((memory) => cacheContainerMemory({ memory }) - 65_536)).toEqual([3_145_728, 98_304, 1_502]);
});
