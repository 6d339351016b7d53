/** Partitions: pruning at 12 and 1,200, an old month that goes, a filled table that is attached. */
import { timed } from "./measure.ts";
import { counted, numberOf, type Place, planOf, type Scenario } from "./scenario.ts";

/** Days of the pruning tables: a partition each, or 100 days a partition. */
const DAYS = 1200;
const START = "2022-01-01";

async function makeParts(place: Place, name: string, parts: number): Promise<void> {
  const step = DAYS / parts;
  await place.client.query(
    `create table ${name} (id bigint, at timestamp, amount integer, note text, primary key (id, at)) partition by range (at)`,
  );
  for (let first = 0; first < parts; first += 100)
    await place.client.query(`do $$ begin
      for i in ${first}..${Math.min(first + 100, parts) - 1} loop
        execute format('create table ${name}_%s partition of ${name} for values from (%L) to (%L)',
          i, date '${START}' + i * ${step}, date '${START}' + (i + 1) * ${step});
      end loop;
    end $$`);
  await place.client.query(`insert into ${name} select * from whole; analyze ${name}`);
}

const QUERIES = {
  "all rows of one day, no index on time": "select sum(amount) from TABLE where at >= '2024-03-01' and at < '2024-03-02'",
  "one row by key and time": "select * from TABLE where id = ID and at = timestamp '2022-01-01' + ID * interval 'STEP'",
  "one row by key alone, nothing to prune by": "select * from TABLE where id = ID",
};

export const pruning: Scenario = {
  name: "pruning",
  prepare: async (place) => {
    const { client, rows } = place;
    const step = `${(DAYS * 86_400) / rows} s`;
    await client.query(`create table whole (id bigint, at timestamp, amount integer, note text, primary key (id, at));
      insert into whole select i, timestamp '${START}' + i * interval '${step}', i % 1000, repeat('n', 40) from generate_series(0, ${rows - 1}) i`);
    await client.query("vacuum analyze whole");
    await makeParts(place, "parts_12", 12);
    await makeParts(place, "parts_1200", 1200);
    const textOf = (query: string, table: string): string =>
      query
        .replace("TABLE", table)
        .replaceAll("ID", String(Math.floor(rows / 2)))
        .replace("STEP", step);
    const facts: string[] = [];
    for (const [what, query] of Object.entries(QUERIES))
      for (const parts of [12, 1200]) {
        const plan = await planOf(client, textOf(query, `parts_${parts}`));
        const read = plan.filter((line) => / on parts_\d+_\d+/.test(line)).length;
        facts.push(`${what}: the plan at ${counted(parts)} partitions reads ${counted(read)}`);
      }
    const variant = (name: string, table: string, query: string) => ({
      name,
      measure: () => timed(() => client.query(textOf(query, table)), 5),
    });
    return {
      facts,
      comparisons: Object.entries(QUERIES).map(([what, query]) => ({
        what,
        unit: "ms",
        variants: [
          variant("one table", "whole", query),
          variant("12 partitions", "parts_12", query),
          variant("1,200 partitions", "parts_1200", query),
        ],
      })),
    };
  },
};

const MONTH = "at >= '2024-02-01' and at < '2024-03-01'";

export const retention: Scenario = {
  name: "retention",
  prepare: async ({ client, rows }) => {
    const month = Math.ceil(rows / 5);
    const columns = "id bigint, at timestamp, note text, primary key (id, at)";
    await client.query(`create table log_whole (${columns});
      insert into log_whole select -i, timestamp '2023-01-01' + i * interval '1 s', repeat('n', 60) from generate_series(1, ${rows}) i;
      create table log_parts (${columns}) partition by range (at);
      create table log_parts_old partition of log_parts for values from (minvalue) to ('2024-02-01');
      insert into log_parts select * from log_whole`);
    const fill = (table: string) =>
      client.query(`insert into ${table} select i, timestamp '2024-02-01' + i * interval '${(28 * 86_400) / month} s', repeat('n', 60)
        from generate_series(0, ${month - 1}) i`);
    const byDelete = {
      name: "DELETE",
      // The dead rows of the round before would slow down this one.
      before: async () => {
        await client.query("vacuum log_whole");
        await fill("log_whole");
      },
      run: () => client.query(`delete from log_whole where ${MONTH}`),
    };
    const byDrop = {
      name: "detach and drop the partition",
      before: async () => {
        await client.query("create table log_parts_2024_02 partition of log_parts for values from ('2024-02-01') to ('2024-03-01')");
        await fill("log_parts");
      },
      run: () => client.query("alter table log_parts detach partition log_parts_2024_02; drop table log_parts_2024_02"),
    };
    const wal = async (run: () => Promise<unknown>): Promise<number> => {
      const before = await numberOf(client, "select pg_current_wal_insert_lsn() - '0/0'");
      await run();
      return (await numberOf(client, "select pg_current_wal_insert_lsn() - '0/0'")) - before;
    };
    const [deleted, dropped] = [byDelete, byDrop];
    return {
      facts: [`the month has ${counted(month)} rows; a DELETE leaves them as dead rows for VACUUM on top`],
      comparisons: [
        {
          what: "an old month goes",
          unit: "ms",
          variants: [
            { ...deleted, measure: () => timed(deleted.run) },
            { ...dropped, measure: () => timed(dropped.run) },
          ],
        },
        {
          what: "WAL that an old month's end writes",
          unit: "bytes",
          rounds: 1,
          variants: [
            { ...deleted, measure: () => wal(deleted.run) },
            { ...dropped, measure: () => wal(dropped.run) },
          ],
        },
      ],
    };
  },
};

export const attach: Scenario = {
  name: "attach",
  prepare: async ({ client, rows }) => {
    const filled = rows * 2;
    await client.query(`create table orders (id bigint, at timestamp not null, note text, primary key (id, at)) partition by range (at);
      create table orders_old (id bigint not null, at timestamp not null, note text);
      insert into orders_old select i, timestamp '2024-01-01' + i * interval '1 s', repeat('n', 60) from generate_series(1, ${filled}) i;
      analyze orders_old`);
    const apart = async (): Promise<void> => {
      const attached = await numberOf(client, "select count(*) from pg_inherits where inhrelid = 'orders_old'::regclass");
      if (attached > 0) await client.query("alter table orders detach partition orders_old");
      await client.query("alter table orders_old drop constraint if exists orders_old_pkey, drop constraint if exists fits");
    };
    const withKey = async (): Promise<void> => {
      await apart();
      await client.query("alter table orders_old add constraint orders_old_pkey primary key (id, at)");
    };
    const validate = async (): Promise<number> => {
      await client.query("alter table orders_old add constraint fits check (at >= '2024-01-01' and at < '2034-01-01') not valid");
      return timed(() => client.query("alter table orders_old validate constraint fits"));
    };
    const attached = () =>
      timed(() => client.query("alter table orders attach partition orders_old for values from ('2024-01-01') to ('2034-01-01')"));
    await withKey();
    const validated = await validate();
    return {
      facts: [
        `ATTACH keeps everybody else from the attached table of ${counted(filled)} rows for as long as it takes; the VALIDATE before it took ${validated.toFixed(0)} ms and lets reads and writes go on`,
      ],
      comparisons: [
        {
          what: "a filled table is attached: time under the lock",
          unit: "ms",
          variants: [
            { name: "naive: no index, no CHECK", before: apart, measure: attached },
            { name: "index built before, no CHECK", before: withKey, measure: attached },
            {
              name: "index and validated CHECK before",
              before: async () => {
                await withKey();
                await validate();
              },
              measure: attached,
            },
          ],
        },
      ],
    };
  },
};
