/** Damage that no application would notice, done to a real PostgreSQL behind the rehearsal's back, and connections cut around the commit. */
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Ledger } from "../../rehearsal/ledger.ts";
import { DEFAULT_TABLE, tableRows } from "../../rehearsal/table.ts";
import { verdict } from "../../rehearsal/verdict.ts";
import { acknowledged, bench, counts, unsuccessful } from "./rehearsal-server.ts";

const here = bench();

test("damage done behind its back is named, each kind as what it is, and verify finds it again later", async () => {
  const clean = await here.rehearse((load) => acknowledged(load, 200));
  expect(clean.passed).toBe(true);
  const again = async () => {
    const ledger = Ledger.open(here.ledger());
    const result = await verdict(ledger, tableRows(here.url("app"), DEFAULT_TABLE));
    ledger.close();
    return counts(result);
  };
  const ledger = Ledger.open(here.ledger());
  const dead = ledger.db.prepare("select key, client from operation join write w on w.id = write where kind = 'delete' limit 1").get()!;
  ledger.close();
  const one = (n: number) => `(select key from ${DEFAULT_TABLE} order by key offset ${n} limit 1)`;
  const steps: [string, Record<string, number>][] = [
    [`delete from ${DEFAULT_TABLE} where key in (${one(3)}, ${one(5)})`, { lost: 2 }],
    [`update ${DEFAULT_TABLE} set counter = counter + 1 where key = ${one(0)}`, { lost: 2, wrong: 1 }],
    [
      `insert into ${DEFAULT_TABLE} (user_id, key, client) values (0, '${dead.key}', ${dead.client})`,
      { lost: 2, wrong: 1, resurrected: 1 },
    ],
    [
      `insert into ${DEFAULT_TABLE} (user_id, key, client) values (0, gen_random_uuid(), 1)`,
      { lost: 2, wrong: 1, resurrected: 1, phantom: 1 },
    ],
    [
      `alter table ${DEFAULT_TABLE} drop constraint ${DEFAULT_TABLE}_pkey;
       insert into ${DEFAULT_TABLE} select * from ${DEFAULT_TABLE} order by id limit 1`,
      { lost: 2, doubled: 1, wrong: 1, resurrected: 1, phantom: 1 },
    ],
  ];
  for (const [damage, want] of steps) {
    await here.sql(damage);
    expect(await again()).toEqual(want);
  }
});

test("a sequence that starts again gives ids twice, which no constraint notices", async () => {
  const result = await here.rehearse(async (load) => {
    await acknowledged(load, 50);
    await here.sql(`alter sequence ${DEFAULT_TABLE}_id_seq restart`);
    await acknowledged(load, 200);
  });
  expect(Object.keys(counts(result))).toEqual(["duplicateId"]);
  expect(result.damage.duplicateId.count).toBeGreaterThan(10);
});

test("updates that answer 0 rows are named although no error was seen", async () => {
  const result = await here.rehearse(async (load) => {
    await acknowledged(load, 100);
    await here.sql(`delete from ${DEFAULT_TABLE} where client = 3`);
    await acknowledged(load, 300);
  });
  expect(Object.keys(counts(result))).toEqual(["lost", "vanished"]);
  expect(unsuccessful(result)).toBe(0);
});

describe("a connection cut around the commit", () => {
  let proxy: Server;
  const sockets = new Set<Socket>();
  let commits = 0;
  let mode: "before" | "after" = "before";

  /** Passes bytes on; at every tenth commit it cuts the client off: before the commit reaches the server, or after the server's answer. */
  beforeAll(async () => {
    proxy = createServer((client) => {
      const server = dial(here.port(), "127.0.0.1");
      let swallow = false;
      for (const socket of [client, server]) {
        sockets.add(socket);
        socket.on("error", () => undefined).on("close", () => [client, server].map((both) => both.destroy()));
      }
      client.on("data", (data) => {
        const cut = data.includes("commit\0") && ++commits % 10 === 0;
        if (cut && mode === "before") client.destroy();
        else server.write(data);
        swallow ||= cut;
      });
      server.on("data", (data) => (swallow ? client.destroy() : client.write(data)));
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    await here.inside("echo 'host app app all scram-sha-256' >> /tmp/db/data/pg_hba.conf");
    await here.sql("select pg_reload_conf()");
  });
  afterAll(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });

  test.each(["before", "after"] as const)("%s the server took it: unknown to the client, settled by the table", async (when) => {
    mode = when;
    const { port: at } = proxy.address() as { port: number };
    const result = await here.rehearse(
      (load) => acknowledged(load, 200),
      { writeUrl: here.url("app", at, "disable") },
      { failedWrites: 1000 },
    );
    const { unknown, failed, refused } = result.writes.outcomes;
    expect(unknown).toBeGreaterThan(3);
    expect([failed, refused]).toEqual([0, 0]);
    expect(result.writes.reconnects).toBeGreaterThan(3);
    expect(counts(result)).toEqual({});
    expect(result.passed).toBe(true);
    const { unknownFound, unknownMissing } = result.writes;
    expect([unknownFound, unknownMissing]).toEqual(when === "after" ? [unknown, 0] : [0, unknown]);
  });
});
