/** `ladder machines`: what each part of a stack on Docker uses of its machine. */
import type { ContainerStats } from "dockerode";
import { dockerName } from "../../components/docker/container.ts";
import { engine, execIn } from "../engine.ts";
import type { Row } from "../table.ts";

/** Of control groups 2 the container's own, else the whole machine's. */
const PRESSURE = "cat /sys/fs/cgroup/io.pressure 2>/dev/null || cat /proc/pressure/io";

/** Cores in a list such as `0-3,6`; undefined for none. */
export function coresIn(set: string): number | undefined {
  if (set === "") return undefined;
  const sizes = set.split(",").map((part) => {
    const [first, last = first] = part.split("-").map(Number);
    return last! - first! + 1;
  });
  return sizes.reduce((sum, size) => sum + size);
}

/** A limit of CPU time, which the engine gives in thousand-millionths of a core; 0 is none. */
const coresOfTime = (nano = 0): number | undefined => (nano > 0 ? nano / 1e9 : undefined);

/** Share of the last ten seconds in which something waited for the disk; null where the kernel does not count it. */
export function ioWait(pressure: string): number | null {
  const found = /^some avg10=([\d.]+)/m.exec(pressure);
  return found ? Number(found[1]) : null;
}

const percent = (part: number, whole: number): number | null => (whole > 0 ? Math.round((1_000 * part) / whole) / 10 : null);

/**
 * @param stats two looks a second apart, as the engine gives them
 * @param cores cores that the container may use; undefined: all
 */
export function machineRow(part: string, stats: ContainerStats, cores: number | undefined, pressure: string): Row {
  const { cpu_stats: cpu, precpu_stats: before, memory_stats: memory, blkio_stats: disk } = stats;
  const available = cores ?? cpu.online_cpus;
  // The engine counts the machine's time in nanoseconds of all its cores.
  const used = ((cpu.cpu_usage.total_usage - before.cpu_usage.total_usage) * cpu.online_cpus) / available;
  // The page cache of files is given back on demand.
  const resident = memory.usage - (memory.stats?.inactive_file ?? memory.stats?.total_inactive_file ?? 0);
  const moved = (what: string) =>
    (disk?.io_service_bytes_recursive ?? []).reduce((sum, { op, value }) => (op.toLowerCase() === what ? sum + value : sum), 0);
  return {
    part,
    cores: available,
    cpu_percent: percent(used, cpu.system_cpu_usage - before.system_cpu_usage),
    memory_bytes: resident,
    memory_limit_bytes: memory.limit,
    memory_used_percent: percent(resident, memory.limit),
    read_bytes: moved("read"),
    written_bytes: moved("write"),
    io_wait_percent: ioWait(pressure),
  };
}

/** One row for each running container of the stack. @throws the engine's error where it does not answer. */
export async function machines(stack: string): Promise<Row[]> {
  const containers = await engine.listContainers({ filters: { label: [`pgladder.stack=${stack}`] } });
  const prefix = dockerName(stack, "");
  const rows = await Promise.all(
    containers.map(async ({ Id, Names }) => {
      const container = engine.getContainer(Id);
      const [stats, { HostConfig }, pressure] = await Promise.all([
        container.stats({ stream: false }),
        container.inspect(),
        execIn(Id, ["sh", "-c", PRESSURE]),
      ]);
      const cores = coresIn(HostConfig.CpusetCpus ?? "") ?? coresOfTime(HostConfig.NanoCpus);
      return machineRow(Names[0]!.slice(1 + prefix.length), stats, cores, pressure.stdout);
    }),
  );
  return rows.sort((a, b) => (String(a.part) < String(b.part) ? -1 : 1));
}
