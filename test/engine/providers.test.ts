// Holds the stand-in docker provider, and Pulumi's own where it can be had, against the same expectations.
// Cannot prove: what engines newer than the one at hand do, registries, swarm.
import { Container, type ContainerArgs, Network, Volume } from "@pulumi/docker";
import { CustomResource } from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Bench, docker, PLUGINS } from "./providers-harness.ts";

const IMAGE = "debian:trixie-slim";

/** A resource whose inputs no type has checked. */
class Raw extends CustomResource {}

describe.each(PLUGINS)("docker provider, $kind", (plugins) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.open(plugins, "docker");
  });
  afterAll(async () => {
    await bench.close();
  });

  const container = (args: Partial<ContainerArgs>): Container =>
    new Container("c", { name: `${bench.prefix}-c`, image: IMAGE, command: ["sleep", "1000"], destroyGraceSeconds: 1, ...args });
  const only = (args: Partial<ContainerArgs>) => async () => ({ id: container(args).id });
  const running = (): string => docker("inspect", "-f", "{{.State.Running}}", `${bench.prefix}-c`);

  test("creates a container with its network, volume, files and limits; a second update changes nothing", async () => {
    const program = async () => {
      const network = new Network("n", { name: `${bench.prefix}-n`, internal: true });
      const volume = new Volume("v", { name: `${bench.prefix}-v`, labels: [{ label: "keep", value: "yes" }] });
      const made = container({
        memory: 64,
        memorySwap: 128,
        networksAdvanced: [{ name: network.name, aliases: ["db"] }],
        volumes: [{ volumeName: volume.name, containerPath: "/data" }],
        mounts: [{ type: "tmpfs", target: "/scratch" }],
        uploads: [
          { file: "/etc/secret", content: "s3", permissions: "0400" },
          { file: "/run.sh", contentBase64: Buffer.from("hi").toString("base64"), executable: true },
          { file: "/plain", content: "p" },
        ],
      });
      const { driver, internal, scope } = network;
      return { driver, internal, scope, volume: volume.mountpoint, memory: made.memory, swap: made.memorySwap, mustRun: made.mustRun };
    };
    const outputs = await bench.up(program);
    expect(outputs).toMatchObject({ driver: "bridge", internal: true, scope: "local", memory: 64, swap: 128, mustRun: true });
    expect(outputs.volume).toContain(`${bench.prefix}-v`);
    expect(docker("exec", `${bench.prefix}-c`, "stat", "-c", "%a %u:%g %n", "/etc/secret", "/run.sh", "/plain").split("\n")).toEqual([
      "400 0:0 /etc/secret",
      "744 0:0 /run.sh",
      "644 0:0 /plain",
    ]);
    expect(JSON.parse(docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", `${bench.prefix}-c`))).toMatchObject({
      [`${bench.prefix}-n`]: { Aliases: expect.arrayContaining(["db"]) },
    });
    expect(docker("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}", `${bench.prefix}-c`)).toBe("67108864 134217728");
    expect(await bench.plan(program)).toEqual({});
    await bench.refresh();
    expect(await bench.plan(program)).toEqual({});
    await bench.destroy();
    expect(docker("volume", "ls", "-q", "--filter", `name=${bench.prefix}`)).toBe("");
    expect(docker("network", "ls", "-q", "--filter", `name=${bench.prefix}`)).toBe("");
  });

  const mount = { type: "tmpfs", target: "/m" };
  const labels = [
    { label: "a", value: "1" },
    { label: "b", value: "2" },
  ];
  const base: Partial<ContainerArgs> = {
    memory: 64,
    memorySwap: 128,
    cpus: "0.5",
    user: "root",
    restart: "on-failure",
    labels,
    envs: ["A=1", "B=2"],
    mounts: [mount],
    uploads: [{ file: "/x", content: "1" }],
    healthcheck: { tests: ["CMD", "true"], interval: "5s" },
    ulimits: [{ name: "nofile", soft: 1024, hard: 2048 }],
    stopTimeout: 7,
    tmpfs: { "/t": "size=1m" },
  };

  const CHANGES: readonly [string, Partial<ContainerArgs>, string | undefined][] = [
    ["nothing", {}, undefined],
    ["memory", { memory: 96, memorySwap: 192 }, "update memory memorySwap"],
    ["restart policy", { restart: "always" }, "update restart"],
    ["CPU shares", { cpuShares: 512 }, "update cpuShares"],
    ["grace", { destroyGraceSeconds: 9 }, "update destroyGraceSeconds"],
    ["health check", { healthcheck: { tests: ["CMD", "false"], interval: "5s" } }, "update healthcheck"],
    ["tmpfs", { tmpfs: { "/t": "size=2m" } }, "update tmpfs"],
    ["another mount in the same number", { mounts: [{ ...mount, target: "/m2" }] }, "update mounts"],
    ["one mount more", { mounts: [mount, { ...mount, target: "/m2" }] }, "replace mounts"],
    ["order of labels", { labels: labels.toReversed() }, undefined],
    ["a label", { labels: [{ label: "c", value: "1" }, ...labels.slice(1)] }, "replace labels"],
    ["order of the environment", { envs: ["B=2", "A=1"] }, undefined],
    ["the environment", { envs: ["A=1"] }, "replace envs"],
    ["command", { command: ["sleep", "1001"] }, "replace command"],
    ["image", { image: "debian:other" }, "replace image"],
    ["an upload", { uploads: [{ file: "/x", content: "2" }] }, "replace uploads"],
    ["CPUs", { cpus: "0.6" }, "replace cpus"],
    ["a limit", { ulimits: [{ name: "nofile", soft: 1025, hard: 2048 }] }, "replace ulimits"],
    ["read-only root", { readOnly: true }, "replace readOnly"],
    ["stop time-out", { stopTimeout: 8 }, "replace stopTimeout"],
    ["a port", { ports: [{ internal: 80, ip: "127.0.0.1" }] }, "replace ports"],
    ["a volume", { volumes: [{ containerPath: "/z" }] }, "replace volumes"],
    ["network mode", { networkMode: "host" }, "replace networkMode"],
  ];

  test("plans the same for every change", async () => {
    await bench.up(only(base));
    for (const [name, change, want] of CHANGES) {
      expect([name, await bench.plan(only({ ...base, ...change }))]).toEqual([name, want === undefined ? {} : { c: want }]);
    }
  });

  test("what the program leaves out stays where the engine has a value of its own, and goes elsewhere", async () => {
    const without = (name: keyof ContainerArgs): ReturnType<Bench["plan"]> => {
      const { [name]: _, ...rest } = base;
      return bench.plan(only(rest));
    };
    expect(await without("labels")).toEqual({});
    expect(await without("healthcheck")).toEqual({});
    expect(await without("user")).toEqual({});
    expect(await without("memorySwap")).toEqual({ c: "update memorySwap" });
    expect(await without("uploads")).toEqual({ c: "replace uploads" });
  });

  test("updates in place what can be, replaces the rest after deleting the old one", async () => {
    const first = await bench.up(only(base));
    expect(await bench.up(only({ ...base, memory: 96, memorySwap: 192 }))).toEqual(first);
    expect(docker("inspect", "-f", "{{.HostConfig.Memory}}", `${bench.prefix}-c`)).toBe(String(96 * 1024 * 1024));
    const replaced = await bench.up(only({ ...base, command: ["sleep", "1001"] }));
    expect(replaced.id).not.toBe(first.id);
    expect(docker("ps", "-aq", "--no-trunc", "--filter", `name=${bench.prefix}-c`)).toBe(replaced.id);
    await bench.destroy();
  });

  test("a killed container is started again after a refresh, a removed one made anew", async () => {
    const { id } = await bench.up(only({}));
    docker("kill", `${bench.prefix}-c`);
    expect(await bench.plan(only({}))).toEqual({});
    await bench.refresh();
    expect((await bench.recorded("c"))?.outputs).toMatchObject({ mustRun: false, exitCode: 137 });
    expect(await bench.plan(only({}))).toEqual({ c: "update mustRun" });
    expect(await bench.up(only({}))).toEqual({ id });
    expect(running()).toBe("true");
    docker("rm", "-f", `${bench.prefix}-c`);
    await bench.refresh();
    expect(await bench.plan(only({}))).toEqual({ c: "create" });
    expect((await bench.up(only({}))).id).not.toBe(id);
    await bench.destroy();
  });

  test("a one-shot's exit code and log are outputs, and it does not run again", async () => {
    const program = async () => {
      const once = container({ command: ["bash", "-c", "echo hello; exit 3"], attach: true, logs: true, mustRun: false });
      return { code: once.exitCode, log: once.containerLogs };
    };
    expect(await bench.up(program)).toEqual({ code: 3, log: "hello\n" });
    expect(await bench.plan(program)).toEqual({});
    await bench.destroy();
  });

  test("wait returns when the container is healthy", async () => {
    const check = { tests: ["CMD", "test", "-e", "/ok"], interval: "1s", timeout: "60s" };
    const program = only({ command: ["bash", "-c", "sleep 1; touch /ok; sleep 1000"], wait: true, waitTimeout: 30, healthcheck: check });
    await bench.up(program);
    expect(docker("inspect", "-f", "{{.State.Health.Status}}", `${bench.prefix}-c`)).toBe("healthy");
    // Recorded as Go writes it: the next update of 60s is an update, in place and without effect.
    expect((await bench.recorded("c"))?.outputs.healthcheck).toMatchObject({ timeout: "1m0s" });
    expect(await bench.plan(program)).toEqual({ c: "update healthcheck" });
    await bench.destroy();
  });

  const unhealthy = { wait: true, waitTimeout: 3, healthcheck: { tests: ["CMD", "false"], interval: "1s" } };
  test.each<[string, Partial<ContainerArgs>, string, string]>([
    ["unhealthy", unhealthy, "container failed to be in healthy state", "running"],
    ["without a health check", { wait: true }, "container does not have a healthcheck defined", "running"],
    ["unable to start", { command: ["/nonexistent"] }, "Unable to start container", "created"],
    ["without its network", { networksAdvanced: [{ name: "no-such-network" }] }, "network no-such-network not found", "created"],
  ])("a container that is %s is recorded with its error, and replaced by the next update", async (_, args, message, state) => {
    expect(await bench.failingUp(only(args))).toContain(message);
    expect((await bench.recorded("c"))?.initErrors.join()).toContain(message);
    expect(docker("ps", "-a", "--filter", `name=${bench.prefix}-c`, "--format", "{{.State}}")).toBe(state);
    expect(await bench.plan(only(args))).toEqual({ c: "replace entrypoints networkDatas" });
    await bench.up(only({}));
    expect(running()).toBe("true");
    await bench.destroy();
  });

  test("a half-made container with command and entrypoints given is not replaced by the next update", async () => {
    const program = only({ entrypoints: ["/nonexistent"] });
    expect(await bench.failingUp(program)).toContain("Unable to start container");
    expect(await bench.plan(program)).toEqual({ c: "update networkDatas" });
    await bench.destroy();
  });

  test.each([
    ["an unknown property", { nonsense: 1 }, /nonsense/],
    ["one inside a block", { ports: [{ internal: 1, nonsense: 2 }] }, /ports\[0\]\.nonsense/],
    ["a missing image", { image: undefined }, /Missing required argument/],
    ["a missing file name", { uploads: [{ content: "a" }] }, /Missing required argument/],
    ["a restart policy", { restart: "maybe" }, /'maybe' doesn't match the pattern/],
    ["file permissions", { uploads: [{ file: "/x", content: "a", permissions: "400" }] }, /'400' doesn't match the pattern/],
    ["a duration", { healthcheck: { tests: ["CMD"], interval: "abc" } }, /'abc' is not a valid duration/],
    ["a relative path", { volumes: [{ hostPath: "rel", containerPath: "/x" }] }, /'rel' must be an absolute path/],
    [
      "two at once",
      { memory: -1, restart: "x" },
      /'-1' cannot be lower than 0[\s\S]*'x' doesn't match|'x' doesn't match[\s\S]*'-1' cannot be lower/,
    ],
  ])("refuses %s", async (_, args, message) => {
    const program = async () => {
      new Raw("docker:index/container:Container", "c", { image: IMAGE, ...args }, { version: "5.2.0" });
    };
    expect(await bench.plan(program)).toMatch(message);
  });
});
