/** How clients reach the database: through the URLs as any driver does, or through the client library's shard router. */
import { type ConnectOptions, connect, type Database } from "../client/index.ts";
import type { Change, Result, RunPlan } from "./model.ts";
import { RouterReads, RouterWrites } from "./router-door.ts";
import { Session } from "./session.ts";
import { UrlReads, UrlWrites } from "./url-door.ts";

/** One client's way to write. */
export interface WriteDoor {
  /** The router keeps to one shard a transaction: what changes together has one user. */
  readonly oneUser: boolean;
  /** Makes the first connection before it is needed, so that a run does not begin with a queue for handshakes. */
  open(): Promise<void>;
  /** One write: a statement, or a transaction of several. Never throws: an error is an outcome. */
  write(write: number, changes: readonly Change[]): Promise<Result>;
  /** Reads what this client wrote, where its way promises that it sees it. @throws what the way throws. */
  readOwn?(user: number, key: string): Promise<number | undefined>;
  /** Gives up what still runs: its outcome is unknown. */
  cut(): void;
}

/** One reader's way. */
export interface ReadDoor {
  open(): Promise<void>;
  /** @returns the row's counter. @throws what the way throws. */
  read(user: number, key: string): Promise<number | undefined>;
  cut(): void;
}

export interface Doors {
  /** By client. */
  writes: readonly WriteDoor[];
  /** By reader. */
  reads: readonly ReadDoor[];
  /** Tries to write through the read URL; absent without one. */
  probe: Session | undefined;
  close(): Promise<void>;
}

export interface Place extends Pick<RunPlan, "table" | "clients" | "readers"> {
  writeUrl: string;
  readUrl: string | undefined;
  /** Share of clients and readers that go through the router. */
  share: number;
  onReconnect: (at: number, side: "write" | "read") => void;
}

/** Clients and readers of a share, as whole numbers. */
export const routedOf = (all: number, share: number): number => Math.round(all * share);

/** A way that was given up is not waited for longer than this, ms. */
const CLOSING_MS = 5_000;

function openRouter({ writeUrl, readUrl = writeUrl }: Place, clients: number, readers: number): Database {
  const sizes: ConnectOptions = { writeSize: clients, readSize: clients + readers, min: 0, overflow: clients + readers };
  return connect({ writeUrl, readUrl, ...sizes, applicationName: "pgladder-rehearsal", env: {} });
}

/** Makes every client's and reader's way; the first ones go through the router. Nothing is connected yet. */
export function makeDoors(place: Place): Doors {
  const { writeUrl, readUrl, table, clients, readers, share, onReconnect } = place;
  const sessions: Session[] = [];
  const session = (url: string, side: "write" | "read") => {
    const made = new Session(url, (at) => onReconnect(at, side));
    sessions.push(made);
    return made;
  };
  const [routed, routedReaders] = [routedOf(clients, share), routedOf(readers, share)];
  const router = routed + routedReaders > 0 ? openRouter(place, Math.max(1, routed), routedReaders) : undefined;
  const writes = Array.from({ length: clients }, (_, client) =>
    router && client < routed ? new RouterWrites(router, table, client) : new UrlWrites(session(writeUrl, "write"), table, client),
  );
  const reads = Array.from({ length: readers }, (_, reader) =>
    router && reader < routedReaders ? new RouterReads(router, table) : new UrlReads(session(readUrl ?? writeUrl, "read"), table),
  );
  const probe = readUrl === undefined ? undefined : session(readUrl, "read");
  const close = async () => {
    const given = new Promise<void>((resolve) => setTimeout(resolve, CLOSING_MS).unref());
    await Promise.all([...sessions.map((one) => one.close()), router && Promise.race([router.close(), given])]);
  };
  return { writes, reads, probe, close };
}
