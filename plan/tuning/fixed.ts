/**
 * Parameters that the config key `settings` may not override, and what to do instead. Some are set here, the others by
 * the target (Patroni, RDS) where it starts the server.
 */

const TARGET = "set by the target that starts the server";
const CONTRACT = "every URL, the pooler and the health checks rely on it";
const TLS = "TLS is on everywhere, with the stack's own certificates";
const RECOVERY = "recovery belongs to Patroni and the backup tool";
const LOG = "the container's log is where monitoring and `docker logs` read";
const JOBS = "pg_cron belongs to the platform: use the config key `database`";

export const FIXED: Readonly<Record<string, string>> = {
  listen_addresses: CONTRACT,
  port: `${CONTRACT}; the config key \`port\` is the pooler's`,
  unix_socket_directories: CONTRACT,
  data_directory: TARGET,
  config_file: TARGET,
  hba_file: TARGET,
  ident_file: TARGET,
  external_pid_file: TARGET,
  cluster_name: TARGET,
  wal_level: "later climbs copy by logical replication",
  wal_log_hints: "pg_rewind brings a failed primary back",
  hot_standby: "the read URL is answered by replicas",
  hot_standby_feedback: "slots that survive fail-over need it",
  archive_mode: "backups are archived WAL, and it cannot be switched on without a restart",
  fsync: "without it a crash destroys the cluster",
  full_page_writes: "without it a crash can leave torn pages",
  synchronous_commit: "use the config key `synchronous`; a single transaction may SET LOCAL synchronous_commit",
  synchronous_standby_names: "Patroni keeps it: use the config key `synchronous`",
  shared_preload_libraries: "the platform's extensions are loaded from it",
  "cron.database_name": JOBS,
  "cron.host": JOBS,
  "cron.use_background_workers": JOBS,
  autovacuum: "without it transaction numbers run out and the server stops",
  password_encryption: "all roles are made for scram-sha-256",
  ssl: TLS,
  ssl_ca_file: TLS,
  ssl_cert_file: TLS,
  ssl_key_file: TLS,
  ssl_crl_file: TLS,
  ssl_crl_dir: TLS,
  logging_collector: LOG,
  log_destination: LOG,
  primary_conninfo: RECOVERY,
  primary_slot_name: RECOVERY,
  restore_command: RECOVERY,
  recovery_end_command: RECOVERY,
  archive_cleanup_command: RECOVERY,
  recovery_min_apply_delay: RECOVERY,
  recovery_target: RECOVERY,
  recovery_target_action: RECOVERY,
  recovery_target_inclusive: RECOVERY,
  recovery_target_lsn: RECOVERY,
  recovery_target_name: RECOVERY,
  recovery_target_time: RECOVERY,
  recovery_target_timeline: RECOVERY,
  recovery_target_xid: RECOVERY,
};
