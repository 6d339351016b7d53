import { ms } from "../types.ts";
import { MOVE_PEERS, MOVE_STREAMS, STREAMING_SENDERS, SYNC_PER_PEER } from "./climb.ts";
import { always, type Scope, selfManaged, type Topic } from "./scope.ts";
import { bool, number, time } from "./values.ts";

function senders({ input }: Scope) {
  const streaming = Math.max(STREAMING_SENDERS, input.replicas + 2);
  return {
    value: number(streaming + MOVE_STREAMS),
    reason: `${streaming} for replicas and base backups + ${MOVE_PEERS} targets of a move × (1 stream + ${SYNC_PER_PEER} table copies): static, sized for the climb`,
  };
}

/** Streaming and logical replication. */
export const replicationTopic = {
  max_wal_senders: senders,
  max_replication_slots: (scope) => ({ ...senders(scope), reason: "one for each WAL sender: static, sized for the climb" }),
  hot_standby: selfManaged(bool(true), "replicas answer reads"),
  hot_standby_feedback: always(
    bool(true),
    "reads on a replica are not cancelled by vacuum, and fail-over slots need it; idle transactions are cut off, so bloat stays small",
  ),
  max_standby_streaming_delay: always(time(ms(30_000)), "PostgreSQL's default: a replica lags 30s at most for a read that is in the way"),
  wal_sender_timeout: always(
    time(ms(20_000)),
    "Patroni's ttl: when the leader's key has moved, the dead one's slot is free (60s delayed a rejoin, measured); status comes every 5s",
  ),
  wal_receiver_timeout: always(time(ms(20_000)), "a replica notices a frozen primary within Patroni's ttl"),
  wal_receiver_status_interval: always(time(ms(5_000)), "four reports in each wal_sender_timeout"),
  wal_retrieve_retry_interval: selfManaged(
    time(ms(1_000)),
    "a replica, and an apply worker, is back a second after a switchover, not five",
  ),
} satisfies Topic;
