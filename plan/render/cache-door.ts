import { CACHE_USERS } from "./valkey.ts";

export interface CacheDoorInput {
  port: number;
  /** Nodes that the group can ever have; those that do not exist stay down. */
  nodes: readonly { name: string; port: number }[];
  /** Password of the user that looks for the primary. */
  password: string;
}

/**
 * haproxy.cfg of the cache's door: leads to the primary, whichever node that is, and passes TLS through untouched. A node counts when
 * it calls itself primary and its cluster works, so one that comes back after a fail-over gets nobody before it knows better.
 * A connection that does not come about within a second is tried on another node; one to a node that is dead ends by TCP's user time-out or keepalive. Not by
 * `on-marked-down shutdown-sessions`: with that HAProxy 3.0 holds for ever what it is just connecting (tried; without it nothing hangs).
 * Connections to a primary that has become a replica are ended by the agent.
 * The container's own health check gets as far as the port.
 * An answer is judged by its first 14 bytes, the length of a primary's: an absent word would be waited for until the check's time is up.
 */
export function renderCacheDoor({ port, nodes, password }: CacheDoorInput): string {
  return `global
  maxconn 5000
  log stdout format raw local0 warning
  ca-base /etc/pgladder

defaults
  mode tcp
  log global
  timeout connect 1s
  retries 3
  option redispatch 1
  timeout client 24d
  timeout server 24d
  timeout check 3s
  option clitcpka
  option srvtcpka
  srvtcpka-idle 2s
  srvtcpka-intvl 1s
  srvtcpka-cnt 3
  default-server inter 500ms fall 3 rise 1 tcp-ut 3s check-ssl verify required ca-file ca.crt resolvers docker init-addr last,libc,none

resolvers docker
  parse-resolv-conf
  hold valid 1s
  hold nx 1s
  timeout resolve 1s
  timeout retry 1s

listen cache
  bind :${port}
  tcp-request connection reject if { src 127.0.0.0/8 }
  option tcp-check
  tcp-check send "AUTH ${CACHE_USERS.door.user} ${password}\\r\\n"
  tcp-check expect string +OK
  tcp-check send "ROLE\\r\\n"
  tcp-check expect min-recv 14 string master
  tcp-check send "CLUSTER INFO\\r\\n"
  tcp-check expect min-recv 24 string cluster_state:ok
${nodes.map((node) => `  server ${node.name} ${node.name}:${node.port} check`).join("\n")}
`;
}
