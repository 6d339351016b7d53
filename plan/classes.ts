/** AWS instance classes that a stage may use: current Graviton families, as vCPU and memory. */
import type { Engine } from "./stages.ts";
import { gib, type KiB } from "./types.ts";

/** vCPU by size of the m and r families. */
const SIZES = {
  large: 2,
  xlarge: 4,
  "2xlarge": 8,
  "4xlarge": 16,
  "8xlarge": 32,
  "12xlarge": 48,
  "16xlarge": 64,
  "24xlarge": 96,
  "48xlarge": 192,
} as const;

/** GiB of memory per vCPU; generation 7 ends at 16xlarge. */
const FAMILIES = [
  { family: "m7g", perCore: 4, largest: 64 },
  { family: "m8g", perCore: 4, largest: 192 },
  { family: "r7g", perCore: 8, largest: 64 },
  { family: "r8g", perCore: 8, largest: 192 },
] as const;

export interface InstanceClass {
  cores: number;
  memory: KiB;
}

const BURSTABLE: Record<string, InstanceClass> = {
  "t4g.micro": { cores: 2, memory: gib(1) },
  "t4g.small": { cores: 2, memory: gib(2) },
  "t4g.medium": { cores: 2, memory: gib(4) },
  "t4g.large": { cores: 2, memory: gib(8) },
  "t4g.xlarge": { cores: 4, memory: gib(16) },
  "t4g.2xlarge": { cores: 8, memory: gib(32) },
};

/** Every known class by its EC2 name. */
export const INSTANCE_CLASSES: Readonly<Record<string, InstanceClass>> = {
  ...BURSTABLE,
  ...Object.fromEntries(
    FAMILIES.flatMap(({ family, perCore, largest }) =>
      Object.entries(SIZES)
        .filter(([, cores]) => cores <= largest)
        .map(([size, cores]) => [`${family}.${size}`, { cores, memory: gib(cores * perCore) }]),
    ),
  ),
};

/** The name of a class for an engine: RDS writes `db.` before the EC2 name. */
export function className(name: string, engine: Engine): string {
  const plain = name.replace(/^db\./, "");
  return engine === "rds" ? `db.${plain}` : plain;
}

/** vCPU and memory of a class in either spelling; undefined where the table does not have it. */
export function instanceClass(name: string): InstanceClass | undefined {
  return INSTANCE_CLASSES[name.replace(/^db\./, "")];
}

/** What an error says that a class must be. */
export function wantedClass(engine: Engine): string {
  const families = ["t4g", ...FAMILIES.map(({ family }) => family)].join(", ");
  return `${engine === "rds" ? "an RDS" : "an EC2"} class of the families ${families}, such as ${className("r7g.2xlarge", engine)}`;
}
