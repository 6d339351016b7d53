/** What a process keeps of a space itself: values (the first level), and the loads that are under way. */
import { LRUCache } from "lru-cache";

/** A load that others of this process may join. */
export interface Flight {
  /** Its place in the order of all calls. */
  started: number;
  /** The key changed since it started: nobody else may join, and nothing of it is kept here. */
  dirty: boolean;
  result: Promise<Landed>;
}

export interface Landed {
  data: Buffer;
  /** Whether it is right for a caller that came while it was under way. */
  sure: boolean;
}

export class Local {
  readonly #values: LRUCache<string, Buffer> | undefined;
  readonly #flights = new Map<string, Flight>();
  readonly #ttl: number;
  #clock = 0;

  /** @param bytes 0: keeps no values */
  constructor(bytes: number, ttl: number) {
    this.#ttl = ttl;
    this.#values = bytes > 0 ? new LRUCache({ maxSize: bytes, sizeCalculation: (data, key) => data.length + key.length + 64 }) : undefined;
  }

  get keeps(): boolean {
    return this.#values !== undefined;
  }

  get(key: string): Buffer | undefined {
    return this.#values?.get(key);
  }

  set(key: string, data: Buffer, ttl: number): void {
    const whole = Math.floor(Math.min(ttl, this.#ttl));
    if (whole >= 1) this.#values?.set(key, data, { ttl: whole });
  }

  /** The place of a call that comes now. */
  arrive(): number {
    return ++this.#clock;
  }

  flight(key: string): Flight | undefined {
    return this.#flights.get(key);
  }

  /** Starts a load that others may join until it ends or its key changes. */
  start(key: string, run: (flight: Pick<Flight, "dirty">) => Promise<Landed>): Flight {
    const flight: Flight = { started: ++this.#clock, dirty: false, result: Promise.resolve({ data: Buffer.alloc(0), sure: false }) };
    this.#flights.set(key, flight);
    flight.result = run(flight).finally(() => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    });
    return flight;
  }

  /** @param key null: all */
  drop(key: string | null): void {
    if (key === null) {
      this.#values?.clear();
      for (const flight of this.#flights.values()) flight.dirty = true;
      this.#flights.clear();
      return;
    }
    this.#values?.delete(key);
    const flight = this.#flights.get(key);
    if (flight) flight.dirty = true;
    this.#flights.delete(key);
  }
}
