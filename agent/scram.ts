import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";

const ITERATIONS = 4096;
const PATTERN = /^SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)$/;

/**
 * The SCRAM-SHA-256 verifier of a password (RFC 5803, as PostgreSQL stores it), so that the password itself never reaches
 * the server's statement log or statistics. Passwords must be ASCII: no SASLprep is done.
 */
export function scramVerifier(password: string, salt = randomBytes(16), iterations = ITERATIONS): string {
  const salted = pbkdf2Sync(password, salt, iterations, 32, "sha256");
  const hmac = (text: string) => createHmac("sha256", salted).update(text).digest();
  const stored = createHash("sha256").update(hmac("Client Key")).digest();
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${stored.toString("base64")}:${hmac("Server Key").toString("base64")}`;
}

/** Whether a stored verifier belongs to the password. */
export function scramMatches(verifier: string | null, password: string): boolean {
  const [, iterations, salt] = PATTERN.exec(verifier ?? "") ?? [];
  if (!verifier || !iterations || !salt) return false;
  const expected = Buffer.from(scramVerifier(password, Buffer.from(salt, "base64"), Number(iterations)));
  const actual = Buffer.from(verifier);
  return expected.length === actual.length && timingSafeEqual(expected, actual);
}
