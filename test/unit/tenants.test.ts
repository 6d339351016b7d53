/** Which tables a configuration keeps apart. Cannot prove that rows are: test/postgres/tenants.test.ts does. */
import { expect, it } from "vitest";
import { declaredTenants } from "../../agent/tables/tenants.ts";
import { tableConfig } from "../../plan/config/tables.ts";

it("finds the declared tables, in public where no schema is named", () => {
  const tables = {
    notes: tableConfig({ tenant: "tenant_id" }),
    plans: tableConfig({ global: true }),
    "shop.orders": tableConfig({ tenant: "shop", shardBy: "id" }),
  };
  expect(declaredTenants(tables)).toEqual([
    { path: "tables.notes.tenant", name: "notes", schema: "public", table: "notes", column: "tenant_id" },
    { path: "tables.shop.orders.tenant", name: "shop.orders", schema: "shop", table: "orders", column: "shop" },
  ]);
});
