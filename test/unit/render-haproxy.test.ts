/** haproxy.cfg word by word. Cannot prove that HAProxy finds a primary by it: the mirror does. */
import { expect, test } from "vitest";
import { haproxyConfig } from "../../plan/mirror.ts";
import { renderHaproxy } from "../../plan/render/haproxy.ts";
import { contentOf, topologyOf } from "../support/mirror.ts";

const CONFIG = `global
  maxconn 1000
  log stdout format raw local0 warning
  ca-base /etc/pgladder
  crt-base /etc/pgladder
  stats socket /tmp/haproxy.sock mode 600 level admin

defaults
  mode tcp
  log global
  timeout connect 1s
  retries 3
  option redispatch 1
  timeout client 24d
  timeout server 24d
  timeout check 5s
  option httpchk
  option clitcpka
  option srvtcpka
  http-check expect status 200
  default-server inter 500ms fall 3 rise 1 check-ssl verify required ca-file ca.crt on-marked-down shutdown-sessions resolvers docker init-addr last,libc,none

resolvers docker
  parse-resolv-conf
  hold valid 1s
  hold nx 1s
  timeout resolve 1s
  timeout retry 1s

# The runtime interface itself speaks no TLS.
listen control
  bind :5002 ssl crt pooler.pem ca-file ca.crt verify required
  server runtime unix@/tmp/haproxy.sock

listen write
  bind :5000
  http-check send meth OPTIONS uri /primary
  server a-1 a-1:5432 check port 8008
  server a-2 a-2:5432 check port 8008

frontend read
  bind :5001
  acl no_replica nbsrv(replicas) eq 0
  use_backend primary_for_reads if no_replica
  default_backend replicas

backend replicas
  balance leastconn
  http-check send meth OPTIONS uri /replica?lag=16MB
  server a-1 a-1:5432 check port 8008 weight 0
  server a-2 a-2:5432 check port 8008 weight 0

backend primary_for_reads
  http-check send meth OPTIONS uri /primary
  server a-1 a-1:5432 check port 8008
  server a-2 a-2:5432 check port 8008
`;

const serversOf = (text: string, part: string) => {
  const block = text.split("\n\n").find((each) => each.includes(`${part}\n`)) ?? "";
  return [...block.matchAll(/^ {2}server (\S+) (\S+)/gm)].map(([, name, at]) => `${name} ${at}`);
};
const FORESEEN = [1, 2, 3, 4, 5, 6].map((n) => `main-${n} main-${n}:5432`);

test("the whole file", () => {
  const doors = { write: 5000, read: 5001, control: 5002 };
  const file = { hosts: ["a-1", "a-2"], doors, maxLagMiB: 16, maxConnections: 1_000, socket: "/tmp/haproxy.sock" };
  expect(renderHaproxy({ ...file, sparing: false })).toBe(CONFIG);
});

test("a shard's file: doors and a socket of its own, half the checks, and the primary for reads is the one for writes", () => {
  const text = haproxyConfig(topologyOf({ stage: 4 }), "shard-2");
  const hosts = [1, 2, 3, 4].map((n) => `shard-2-${n}`);
  const servers = (how: (host: string) => string) => hosts.map((host) => `  server ${host} ${host}:5432 ${how(host)}`).join("\n");
  expect(text.split("\n\n").slice(3)).toEqual([
    `# The runtime interface itself speaks no TLS.
listen control
  bind :5032 ssl crt pooler.pem ca-file ca.crt verify required
  server runtime unix@/tmp/shard-2.sock`,
    `listen write
  bind :5030
  http-check send meth OPTIONS uri /primary
${servers(() => "check port 8008")}`,
    `frontend read
  bind :5031
  acl no_replica nbsrv(replicas) eq 0
  use_backend primary_for_reads if no_replica
  default_backend replicas`,
    `backend replicas
  balance leastconn
  http-check send meth OPTIONS uri /replica?lag=16MB
${servers(() => "check port 8008 weight 0")}`,
    `backend primary_for_reads
${servers((host) => `track write/${host}`)}
`,
  ]);
  expect(text).toContain("  stats socket /tmp/shard-2.sock mode 600 level admin\n");
  expect(text).toContain("  default-server inter 1s fall 3 rise 1 check-ssl ");
  expect(contentOf(topologyOf({ stage: 4 }), "pooler-1/shard-2.cfg")).toBe(text);
});

test("1 → 2 changes nothing in it, so the pooler's HAProxy never restarts for the climb", () => {
  const [one, two] = [haproxyConfig(topologyOf({ stage: 1 })), haproxyConfig(topologyOf({ stage: 2 }))];
  expect(two).toBe(one);
  for (const part of ["listen write", "backend replicas", "backend primary_for_reads"]) expect(serversOf(one, part)).toEqual(FORESEEN);
  expect(contentOf(topologyOf({ stage: 2 }), "pooler-1/haproxy.cfg")).toBe(one);
});

test("more nodes than were foreseen are all named, each once", () => {
  const many = haproxyConfig(topologyOf({ stage: 2, replicas: { count: 7 } }));
  expect(serversOf(many, "listen write")).toEqual([...FORESEEN, "main-7 main-7:5432", "main-8 main-8:5432"]);
});
