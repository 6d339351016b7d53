/** Reading HAProxy's own answer, as version 3.0 gives it. Cannot prove that later versions keep it: the columns are looked up by name. */
import { expect, test } from "vitest";
import { parseReaders } from "../../agent/haproxy.ts";

const HEADER =
  "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change " +
  "srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord";
const server = (name: string, weight: number) =>
  `5 replicas 1 ${name} 172.22.0.6 2 32 ${weight} 0 29 15 3 3 6 0 0 0 ${name} 5432 - 1 8008 - -`;

test("servers with a weight, by name", () => {
  const answer = ["1", HEADER, server("main-3", 1), server("main-1", 0), server("main-2", 100), ""].join("\n");
  expect(parseReaders(answer)).toEqual(["main-2", "main-3"]);
});

test("an answer without the columns is refused, not taken for no readers", () => {
  expect(() => parseReaders("Permission denied")).toThrow('HAProxy: show servers state: got "Permission denied", want its columns');
});
