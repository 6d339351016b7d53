/** Where a command's words go: progress to standard error, the result to standard output, one JSON value with `--json`. */
export interface Report {
  say(line: string): void;
  /** The command's result, once: lines for people, or what `--json` prints. */
  result(lines: readonly string[], value: unknown): void;
}

export function reporter(json: boolean): Report {
  return {
    say: (line) => process.stderr.write(`${line}\n`),
    result: (lines, value) => process.stdout.write(json ? `${JSON.stringify(value)}\n` : lines.map((line) => `${line}\n`).join("")),
  };
}
