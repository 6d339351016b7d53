/** The stand-in's account: one JSON file that all plugin processes of a run share, and that outlives them. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Props, Value } from "../../../../offline/bridge/values.ts";

export const ACCOUNT_ID = "123456789012";

/** Something that exists in the account. */
export interface Thing {
  readonly type: string;
  readonly id: string;
  readonly region: string;
  state: Props;
}

/** A failure that a test asked for. */
export interface Fault {
  readonly operation: "create" | "update" | "delete";
  readonly type: string;
  /** Part of the resource's name at AWS. @default any */
  readonly name?: string;
  /**
   * `fails`: nothing happened. `half`: it is made and not ready, and the engine hears so. `timeout`: the same, with the provider's words for a
   * wait that ended. `lost`: it is made, and the engine does not hear of it.
   */
  readonly mode: "fails" | "half" | "timeout" | "lost";
  /** How often it strikes. */
  times: number;
}

export interface Book {
  things: Thing[];
  /** Secrets in their recovery window: region and name. */
  waiting: string[];
  /** Counts ids. */
  made: number;
  faults: Fault[];
}

const EMPTY: Book = { things: [], waiting: [], made: 0, faults: [] };
const PATIENCE_MS = 30_000;

export class Account {
  readonly #file: string;

  /** @param folder where `account.json` is kept */
  constructor(folder: string) {
    this.#file = join(folder, "account.json");
  }

  /** What is there now. */
  read(): Book {
    return this.#locked(() => this.#load());
  }

  /** Changes the account; nothing is kept when `work` throws. */
  change<Result>(work: (book: Book) => Result): Result {
    return this.#locked(() => {
      const book = this.#load();
      const result = work(book);
      writeFileSync(`${this.#file}.new`, JSON.stringify(book));
      renameSync(`${this.#file}.new`, this.#file);
      return result;
    });
  }

  #load(): Book {
    return existsSync(this.#file) ? { ...EMPTY, ...(JSON.parse(readFileSync(this.#file, "utf8")) as Book) } : structuredClone(EMPTY);
  }

  #locked<Result>(work: () => Result): Result {
    const lock = `${this.#file}.lock`;
    for (let waited = 0; ; waited += 5) {
      try {
        mkdirSync(lock);
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST" || waited > PATIENCE_MS) throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      }
    }
    try {
      return work();
    } finally {
      rmdirSync(lock);
    }
  }
}

/** Every text inside a value, except in tags, with the path of its properties. */
export function* texts(value: Value | undefined, path = ""): Generator<[path: string, text: string]> {
  if (typeof value === "string") yield [path, value];
  else if (Array.isArray(value)) for (const item of value) yield* texts(item, path);
  else if (typeof value === "object" && value !== null)
    for (const [key, inner] of Object.entries(value))
      if (key !== "__defaults" && key !== "tags" && key !== "tagsAll") yield* texts(inner, path === "" ? key : `${path}.${key}`);
}
