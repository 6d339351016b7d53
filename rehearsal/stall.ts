/** The longest time without service, as a client sees it. Pure. */

export interface Finished {
  intended: number;
  done: number;
  success: boolean;
}

export interface Stall {
  ms: number;
  /** When it began, ms since 1970. */
  from: number;
}

/**
 * The longest time during which at least one write was due and none, of any client, was acknowledged. A write is due from its intended
 * start; one that failed stays due, because its application still wants it, so a run of quick refusals is one stall and not none.
 * @param finished every write that was due, sorted by `done`, **latest first**. Writes that never got an answer have `done` = the end.
 * @param start when the run began, @param end when it ended: a stall that nothing ended reaches until then.
 */
export function longestStall(finished: Iterable<Finished>, start: number, end: number): Stall {
  let longest: Stall = { ms: 0, from: start };
  let nextSuccess = end;
  let firstDue = Number.POSITIVE_INFINITY;
  const close = (previousSuccess: number) => {
    const from = Math.max(previousSuccess, firstDue);
    if (nextSuccess - from > longest.ms) longest = { ms: nextSuccess - from, from };
  };
  for (const { intended, done, success } of finished) {
    if (success) {
      close(done);
      nextSuccess = done;
    }
    firstDue = Math.min(firstDue, intended);
  }
  close(start);
  return longest;
}
