/** What the commands read from Pulumi's state and write into the configuration. */
import { expect, test } from "vitest";
import { removable } from "../../cli/commands/down.ts";
import { withOverrides } from "../../cli/stack.ts";
import { dataVolumes, ownerOf, type Resource } from "../../cli/state.ts";
import { countOf } from "../../cli/test-report.ts";

const urn = (type: string, name: string) => `urn:pulumi:dev::pgladder::${type}::${name}`;
const STACK = urn("pulumi:pulumi:Stack", "pgladder-dev");
const DATABASE = urn("pgladder:docker:Database", "database");
const OWNER = urn("random:index/randomId:RandomId", "owner");
const PROVIDER = urn("pulumi:providers:docker", "default");
const of = (type: string, name: string, more: Partial<Resource> = {}): Resource => ({
  urn: urn(type, name),
  type,
  parent: STACK,
  provider: `${PROVIDER}::id`,
  ...more,
});

const RESOURCES: Resource[] = [
  { urn: STACK, type: "pulumi:pulumi:Stack" },
  { urn: PROVIDER, type: "pulumi:providers:docker" },
  of("random:index/randomId:RandomId", "owner", { outputs: { hex: "0123456789abcdef" } }),
  of("pgladder:docker:Database", "database"),
  of("pgladder:docker:Agent", "agent"),
  of("docker:index/network:Network", "network", { dependencies: [OWNER] }),
  of("docker:index/volume:Volume", "files-main-1"),
  of("docker:index/volume:Volume", "data-main-1", { parent: DATABASE, dependencies: [OWNER] }),
  of("docker:index/container:Container", "main-1", { parent: DATABASE }),
  of("tls:index/privateKey:PrivateKey", "ca"),
];

test("down takes everything but data, secrets and what they hang on", () => {
  expect(removable(RESOURCES)).toEqual([
    urn("pgladder:docker:Agent", "agent"),
    urn("docker:index/network:Network", "network"),
    urn("docker:index/volume:Volume", "files-main-1"),
    urn("docker:index/container:Container", "main-1"),
  ]);
});

test("what a data volume depends on stays with it", () => {
  const hanging = RESOURCES.map((resource) =>
    resource.urn.endsWith("::data-main-1") ? { ...resource, dependencies: [urn("docker:index/network:Network", "network")] } : resource,
  );
  expect(removable(hanging)).not.toContain(urn("docker:index/network:Network", "network"));
});

test("data volumes and the owner are found by their names", () => {
  expect(dataVolumes(RESOURCES).map((volume) => volume.urn)).toEqual([urn("docker:index/volume:Volume", "data-main-1")]);
  expect(ownerOf(RESOURCES)).toBe("0123456789abcdef");
  expect(ownerOf([])).toBeUndefined();
});

test("a value is written as pulumi config set writes it, the rest stays as it is", () => {
  const text = '# ours\nconfig:\n  pgladder:stage: "1" # small\n  pgladder:primary:\n    memory: 4GB\nencryptionsalt: v1:x\n';
  expect(withOverrides(text, { stage: "2" }, "Pulumi.dev.yaml")).toBe(text.replace('"1"', '"2"'));
  expect(withOverrides("", { stage: "2" }, "Pulumi.dev.yaml")).toBe('config:\n  pgladder:stage: "2"\n');
  expect(withOverrides(text, {}, "Pulumi.dev.yaml")).toBe(text);
  expect(() => withOverrides("config: [", { stage: "2" }, "Pulumi.dev.yaml")).toThrow(/^Pulumi\.dev\.yaml: /);
});

test("tests are counted, a file that could not be loaded as one failure", () => {
  const file = (status: string, ...tests: string[]) => ({ status, assertionResults: tests.map((each) => ({ status: each })) });
  const report = { testResults: [file("passed", "passed", "skipped"), file("failed", "passed", "failed", "failed"), file("failed")] };
  expect(countOf(report)).toEqual({ passed: 2, failed: 3 });
  expect(countOf(undefined)).toEqual({ passed: 0, failed: 1 });
});
