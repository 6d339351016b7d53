/** Password verifiers against RFC 7677's example. Cannot prove that PostgreSQL takes them: the mirror tests log in with them. */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { scramMatches, scramVerifier } from "../../agent/scram.ts";

const SALT = Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64");
/** RFC 7677, section 3: what is signed, the client's proof and the server's signature. */
const AUTH_MESSAGE = [
  "n=user,r=rOprNGfwEbeRWgbNEkqO",
  "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
  "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
].join(",");
const PROOF = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_SIGNATURE = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

describe("the verifier of user pencil", () => {
  const verifier = scramVerifier("pencil", SALT);
  const [, stored = "", server = ""] = /^SCRAM-SHA-256\$4096:W22ZaJ0SNY7soEsUEjb6gQ==\$([^:]+):(.+)$/.exec(verifier) ?? [];
  const sign = (key: string) => createHmac("sha256", Buffer.from(key, "base64")).update(AUTH_MESSAGE).digest();

  test("accepts the example's client proof: its stored key is the hash of what the proof reveals", () => {
    const signature = sign(stored);
    const revealed = Buffer.from(PROOF, "base64").map((byte, i) => byte ^ signature[i]!);
    expect(createHash("sha256").update(revealed).digest("base64")).toBe(stored);
    const clientKey = createHmac("sha256", pbkdf2Sync("pencil", SALT, 4096, 32, "sha256"))
      .update("Client Key")
      .digest();
    expect(Buffer.from(revealed).equals(clientKey)).toBe(true);
  });

  test("gives the example's server signature", () => {
    expect(sign(server).toString("base64")).toBe(SERVER_SIGNATURE);
  });

  test("is recognised by the password and by no other", () => {
    expect(scramMatches(verifier, "pencil")).toBe(true);
    for (const other of ["Pencil", "pencil ", "", verifier]) expect(scramMatches(verifier, other)).toBe(false);
  });
});

test("every verifier has a salt of its own, and other iteration counts are understood", () => {
  expect(scramVerifier("pencil")).not.toBe(scramVerifier("pencil"));
  expect(scramMatches(scramVerifier("pencil"), "pencil")).toBe(true);
  expect(scramMatches(scramVerifier("pencil", SALT, 8192), "pencil")).toBe(true);
});

test.each([[null], [""], ["md5a3556571e93b0d20722ba62be61e8c2d"], ["SCRAM-SHA-256$4096:x"], ["pencil"]])(
  "%j belongs to no password",
  (verifier) => {
    expect(scramMatches(verifier, "pencil")).toBe(false);
  },
);
