/** Ways to ask: from the cache, the latest of each, pages, aggregates kept ready, nearest neighbours. */
import { openCache, type Space } from "../client/cache/index.ts";
import { timed, type Variant } from "./measure.ts";
import { counted, type Scenario } from "./scenario.ts";

export const caching: Scenario = {
  name: "caching",
  prepare: async ({ client, cacheUrl, rows }) => {
    const people = Math.max(100, Math.ceil(rows / 20));
    await client.query(`create table people (id bigint primary key, name text, about jsonb);
      insert into people select i, 'name ' || i, jsonb_build_object('topics', array[i % 7, i % 11], 'text', repeat('t', 200)) from generate_series(1, ${people}) i;
      create table votes (thread bigint, points integer);
      insert into votes select i % 1000, i % 7 from generate_series(1, ${rows}) i`);
    await client.query("vacuum analyze people, votes");
    const ranking = "select thread, sum(points) as points from votes group by thread order by points desc, thread limit 20";
    const keys = Array.from({ length: 50 }, (_, i) => 1 + ((i * 7919) % people));
    const profile = { name: "profile", text: "select id, name, about from people where id = $1" };
    const cache = await openCache({ url: cacheUrl, namespace: "bench" });
    const [shared, own] = [cache.space<unknown>("shared", { local: false }), cache.space<unknown>("own", { local: true })];
    const loaded = {
      ranking: async () => (await client.query(ranking)).rows,
      profile: async (key: number) => (await client.query({ ...profile, values: [key] })).rows[0],
    };
    const each = (read: (key: number) => Promise<unknown>) => async (): Promise<number> => {
      let next = 0;
      return timed(() => read(keys[next++ % keys.length]!), keys.length);
    };
    const rankingFrom = (space: Space<unknown>) => () => timed(() => space.getOrLoad("ranking", loaded.ranking), 10);
    const profileFrom = (space: Space<unknown>) => each((key) => space.getOrLoad(`profile:${key}`, () => loaded.profile(key)));
    return {
      end: () => cache.close(),
      facts: ["server, cache and reader are on one machine: between machines a read from the process saves a journey besides"],
      comparisons: [
        {
          what: "a ranking (an aggregate over a table)",
          unit: "ms",
          variants: [
            { name: "from the database", measure: () => timed(loaded.ranking) },
            { name: "from Valkey", measure: rankingFrom(shared) },
            { name: "from the process", measure: rankingFrom(own) },
          ],
        },
        {
          what: "a profile (one row by its key)",
          unit: "ms",
          variants: [
            { name: "from the database, prepared", measure: each(loaded.profile) },
            { name: "from Valkey", measure: profileFrom(shared) },
            { name: "from the process", measure: profileFrom(own) },
          ],
        },
      ],
    };
  },
};

export const topN: Scenario = {
  name: "top-n",
  prepare: async ({ client, rows }) => {
    const authors = Math.max(10, Math.ceil(rows / 500));
    await client.query(`create table notes (id bigint primary key, author bigint, at timestamp, note text);
      insert into notes select i, i % ${authors}, timestamp '2024-01-01' + i * interval '1 s', repeat('n', 60) from generate_series(1, ${rows}) i;
      create index notes_author on notes (author, at desc)`);
    await client.query("vacuum analyze notes");
    const asked = Math.min(100, authors);
    const window = `select * from (select *, row_number() over (partition by author order by at desc) as place from notes
      where author < ${asked}) n where place <= 3`;
    const lateral = `select n.* from generate_series(0, ${asked - 1}) a cross join lateral
      (select * from notes where author = a order by at desc limit 3) n`;
    const one = { name: "latest", text: "select * from notes where author = $1 order by at desc limit 3" };
    const oneByOne = async (): Promise<void> => {
      for (let author = 0; author < asked; author++) await client.query({ ...one, values: [author] });
    };
    return {
      comparisons: [
        {
          what: `the latest 3 of each of ${asked} authors`,
          unit: "ms",
          variants: [
            { name: "a query for each author", measure: () => timed(oneByOne) },
            { name: "window function", measure: () => timed(() => client.query(window)) },
            { name: "LATERAL", measure: () => timed(() => client.query(lateral)) },
          ],
        },
      ],
    };
  },
};

export const paging: Scenario = {
  name: "paging",
  prepare: async ({ client, rows }) => {
    await client.query(`create table feed (id bigint primary key, at timestamp, note text);
      insert into feed select i, timestamp '2024-01-01' + (i / 3) * interval '1 s', repeat('n', 60) from generate_series(1, ${rows}) i;
      create index feed_at on feed (at, id)`);
    await client.query("vacuum analyze feed");
    const page = async (share: number): Promise<readonly [Variant, Variant]> => {
      const offset = Math.floor(rows * share);
      const last = `(timestamp '2024-01-01' + (${offset} / 3) * interval '1 s', ${offset})`;
      const [byOffset, byKey] = [
        `select * from feed order by at, id offset ${offset} limit 50`,
        `select * from feed where (at, id) > ${last} order by at, id limit 50`,
      ];
      const [a, b] = [await client.query(byOffset), await client.query(byKey)];
      if (JSON.stringify(a.rows) !== JSON.stringify(b.rows)) throw new Error("paging: got two different pages, want the same");
      return [
        { name: "OFFSET", measure: () => timed(() => client.query(byOffset), 3) },
        { name: "keyset", measure: () => timed(() => client.query(byKey), 3) },
      ];
    };
    return {
      comparisons: [
        { what: "the page at 1% of the rows", unit: "ms", variants: await page(0.01) },
        { what: "the page at half of the rows", unit: "ms", variants: await page(0.5) },
        { what: "the page at 90% of the rows", unit: "ms", variants: await page(0.9) },
      ],
    };
  },
};

export const views: Scenario = {
  name: "views",
  prepare: async ({ client, rows }) => {
    await client.query(`create table visits (page bigint, visitor bigint, at timestamp);
      insert into visits select i % 200, i % 997, timestamp '2024-01-01' + i * interval '30 s' from generate_series(1, ${rows}) i;
      create materialized view visits_daily as select at::date as day, page, count(*) as visits from visits group by 1, 2;
      create unique index on visits_daily (day, page)`);
    await client.query("vacuum analyze visits, visits_daily");
    const query = (source: string) =>
      `select page, sum(visits) from ${source} where day < '2024-01-08' group by page order by 2 desc limit 10`;
    return {
      facts: ["the materialized view is as old as its last refresh"],
      comparisons: [
        {
          what: "the most visited pages of a week",
          unit: "ms",
          variants: [
            {
              name: "counted from the rows",
              measure: () =>
                timed(() => client.query(query("(select at::date as day, page, 1 as visits from visits where at < '2024-01-08') v"))),
            },
            { name: "from a materialized view", measure: () => timed(() => client.query(query("visits_daily")), 3) },
          ],
        },
      ],
    };
  },
};

export const nearest: Scenario = {
  name: "nearest",
  prepare: async ({ client, rows }) => {
    const passages = Math.min(4000, Math.ceil(rows / 50));
    await client.query(`create extension if not exists vector;
      create table passages (id bigint, embedding vector(384) not null);
      insert into passages select i, array(select random() + i * 0 from generate_series(1, 384))::real[]::vector from generate_series(1, ${passages}) i;
      create index on passages using hnsw (embedding vector_l2_ops)`);
    await client.query("vacuum analyze passages");
    const query = "select id from passages order by embedding <-> (select embedding from passages where id = 7 limit 1) limit 10";
    const found = new Map<string, string[]>();
    const variant = (name: string, off: string): Variant => ({
      name,
      measure: async () => {
        await client.query(`set ${off} = off`);
        const spent = await timed(
          async () =>
            found.set(
              name,
              (await client.query<{ id: string }>(query)).rows.map(({ id }) => id),
            ),
          3,
        );
        await client.query(`reset ${off}`);
        return spent;
      },
    });
    const exact = variant("every row compared", "enable_indexscan");
    const indexed = variant("HNSW index", "enable_seqscan");
    await exact.measure();
    await indexed.measure();
    const same = found.get(indexed.name)!.filter((id) => found.get(exact.name)!.includes(id)).length;
    return {
      facts: [`of the 10 nearest of ${counted(passages)} passages the index finds ${same}; random vectors are its worst case`],
      comparisons: [{ what: "the 10 nearest passages by L2 distance", unit: "ms", variants: [exact, indexed] }],
    };
  },
};
