// Holds the stand-ins for image builds, random and tls, and Pulumi's own plugins where they can be had, against the same expectations.
// Cannot prove: pushing images, keys on curve P-224 in certificates (the stand-in refuses them).
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Container, Image } from "@pulumi/docker";
import { type Inputs, unsecret } from "@pulumi/pulumi";
import { RandomBytes, RandomId, RandomPassword, type RandomPasswordArgs, RandomString } from "@pulumi/random";
import {
  CertRequest,
  LocallySignedCert,
  type LocallySignedCertArgs,
  PrivateKey,
  SelfSignedCert,
  type SelfSignedCertArgs,
} from "@pulumi/tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Bench, docker, PLUGINS } from "./providers-harness.ts";

const SECRET = { "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270" };

describe.each(PLUGINS)("image builds, $kind", (plugins) => {
  let bench: Bench;
  const context = mkdtempSync(join(tmpdir(), "pgladder-context-"));
  const write = (file: string, text: string): void => writeFileSync(join(context, file), text);
  beforeAll(async () => {
    bench = await Bench.open(plugins, "image");
    for (const folder of ["sub", "secret"]) mkdirSync(join(context, folder));
    write("Dockerfile", "FROM debian:trixie-slim\nARG A=1\nCOPY . /ctx\nRUN echo $A > /a\n");
    write(".dockerignore", "*.log\nsecret\n");
    write("f.txt", "hi");
    chmodSync(join(context, "f.txt"), 0o644);
    write("a.log", "ignored");
    write("secret/k", "ignored");
    write("sub/x.sh", "#!/bin/sh\n");
    chmodSync(join(context, "sub/x.sh"), 0o755);
  });
  afterAll(async () => {
    await bench.close();
    docker("rmi", "-f", `${bench.prefix}-i`);
    rmSync(context, { recursive: true });
  });

  const program =
    (build: Inputs = {}) =>
    async () => {
      const image = new Image("i", {
        imageName: `${bench.prefix}-i`,
        build: { context, args: { A: "5" }, platform: "linux/amd64", ...build },
        skipPush: true,
      });
      const look = "cat /a; cd /ctx; find . -not -name '*ocker*' | sort; stat -c '%a %U %n' sub/x.sh";
      const once = new Container("c", {
        name: `${bench.prefix}-c`,
        image: image.repoDigest,
        command: ["bash", "-c", look],
        attach: true,
        logs: true,
        mustRun: false,
      });
      return { name: image.imageName, digest: image.repoDigest, dockerfile: image.dockerfile, log: once.containerLogs };
    };

  test("builds the context without what is ignored; the digest is the local image", async () => {
    const { name, digest, dockerfile, log } = await bench.up(program());
    expect({ name, dockerfile }).toEqual({ name: `${bench.prefix}-i`, dockerfile: "Dockerfile" });
    expect(digest).toBe(docker("image", "inspect", "-f", "{{.Id}}", `${bench.prefix}-i`));
    expect(String(log).trim().split("\n")).toEqual(["5", ".", "./f.txt", "./sub", "./sub/x.sh", "755 root sub/x.sh"]);
    expect((await bench.recorded("i"))?.inputs.build).toMatchObject({
      contextDigest: "4058d7f7302c6b4f0e34c31501aeea0e695b639826d3a07e63df1e3a820b3bcc",
    });
    expect(await bench.plan(program())).toEqual({});
  });

  test("builds again only when something that counts has changed", async () => {
    write("b.log", "ignored too");
    expect(await bench.plan(program())).toEqual({});
    expect(await bench.plan(program({ args: { A: "6" } }))).toMatchObject({ i: "update build" });
    chmodSync(join(context, "f.txt"), 0o600);
    expect(await bench.plan(program())).toMatchObject({ i: "update build" });
    chmodSync(join(context, "f.txt"), 0o644);
    expect(await bench.plan(program())).toEqual({});
    const before = (await bench.recorded("i"))?.outputs.repoDigest;
    write("f.txt", "ho");
    await bench.up(program());
    expect((await bench.recorded("i"))?.outputs.repoDigest).not.toBe(before);
  });

  test("a failing build names the command; a missing Dockerfile its path", async () => {
    write("Dockerfile", "FROM debian:trixie-slim\nRUN exit 7\n");
    expect(await bench.failingUp(program())).toMatch(/\/bin\/sh -c exit 7\]?.*exit code: 7/);
    expect(await bench.plan(program({ dockerfile: "nowhere/Dockerfile" }))).toMatch(/could not open dockerfile at relative path/);
  });
});

describe.each(PLUGINS)("random provider, $kind", (plugins) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.open(plugins, "random");
  });
  afterAll(async () => {
    await bench.close();
  });

  const program = (args: Partial<RandomPasswordArgs>) => async () => {
    const password = new RandomPassword("p", { length: 30, ...args });
    const id = new RandomId("id", { byteLength: 4, prefix: "a-" });
    const bytes = new RandomBytes("b", { length: 8 });
    const text = new RandomString("s", { length: 5, upper: false, special: false, numeric: false });
    return { password: password.result, hex: id.hex, b64: id.b64Url, dec: id.dec, bytes: bytes.hex, text: text.result };
  };

  test("makes what was asked for, and keeps it", async () => {
    const made = await bench.up(program({ special: false, minNumeric: 4 }));
    expect(made.password).toMatch(/^(?=(.*\d){4})[A-Za-z0-9]{30}$/);
    expect(made.hex).toMatch(/^a-[0-9a-f]{8}$/);
    expect(made.b64).toBe(`a-${Buffer.from(String(made.hex).slice(2), "hex").toString("base64url")}`);
    expect(made.dec).toBe(`a-${Number.parseInt(String(made.hex).slice(2), 16)}`);
    expect(made.bytes).toMatch(/^[0-9a-f]{16}$/);
    expect(made.text).toMatch(/^[a-z]{5}$/);
    expect(await bench.up(program({ special: false, minNumeric: 4 }))).toEqual(made);
    await bench.refresh();
    expect(await bench.plan(program({ special: false, minNumeric: 4 }))).toEqual({});
    expect((await bench.recorded("p"))?.outputs).toMatchObject({ length: 30, numeric: true, number: true, minUpper: 0, result: SECRET });
  });

  test.each<[string, Partial<RandomPasswordArgs>, object]>([
    ["its defaults written out", { upper: true, minLower: 0 }, {}],
    ["keepers", { keepers: { version: "2" } }, { p: "replace" }],
    ["length", { length: 31 }, { p: "replace" }],
    ["special characters", { special: true }, { p: "replace" }],
    ["other special characters", { overrideSpecial: "_" }, { p: "replace" }],
    ["no digits", { numeric: false, minNumeric: 0 }, { p: "replace" }],
  ])("plans for %s", async (_, args, want) => {
    expect(await bench.operations(program({ special: false, minNumeric: 4, ...args }))).toEqual(want);
  });

  test.each<[string, Partial<RandomPasswordArgs>]>([
    ["more minimums than length", { length: 2, minUpper: 3 }],
    ["no characters at all", { upper: false, lower: false, numeric: false, special: false, minNumeric: 0 }],
    ["no length", { length: 0 }],
  ])("refuses %s", async (_, args) => {
    expect(await bench.plan(program(args))).toMatch(/random:index\/randomPassword:RandomPassword resource 'p'/);
  });
});

describe.each(PLUGINS)("tls provider, $kind", (plugins) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.open(plugins, "tls");
  });
  afterAll(async () => {
    await bench.close();
  });

  const subject = { commonName: "ladder ca", organization: "o", country: "DE" };
  const program =
    (authority: Partial<SelfSignedCertArgs> = {}, leaf: Partial<LocallySignedCertArgs> = {}) =>
    async () => {
      const key = new PrivateKey("key", { algorithm: "ECDSA", ecdsaCurve: "P256" });
      const leafKey = new PrivateKey("leafKey", { algorithm: "RSA", rsaBits: 2048 });
      const ca = new SelfSignedCert("ca", {
        privateKeyPem: key.privateKeyPem,
        isCaCertificate: true,
        validityPeriodHours: 87600,
        allowedUses: ["cert_signing", "crl_signing"],
        subject,
        ...authority,
      });
      const request = new CertRequest("request", {
        privateKeyPem: leafKey.privateKeyPem,
        subject: { commonName: "leaf" },
        dnsNames: ["localhost"],
        ipAddresses: ["127.0.0.1"],
      });
      const cert = new LocallySignedCert("cert", {
        caCertPem: ca.certPem,
        caPrivateKeyPem: key.privateKeyPem,
        certRequestPem: request.certRequestPem,
        validityPeriodHours: 8760,
        allowedUses: ["server_auth", "key_encipherment"],
        ...leaf,
      });
      const { publicKeyOpenssh, publicKeyPem } = key;
      const { keyAlgorithm, readyForRenewal, id } = ca;
      const [ecKey, ssh, rsaKey] = [key.privateKeyPem, key.privateKeyOpenssh, leafKey.privateKeyPem].map((value) => unsecret(value));
      return { ca: ca.certPem, cert: cert.certPem, ecKey, ssh, rsaKey, publicKeyOpenssh, publicKeyPem, keyAlgorithm, readyForRenewal, id };
    };

  test("makes an authority and a certificate that verifies against it", async () => {
    const made = await bench.up(program());
    const [ca, cert] = [new X509Certificate(String(made.ca)), new X509Certificate(String(made.cert))];
    expect(ca.subject).toBe("C=DE\nO=o\nCN=ladder ca");
    expect(ca.ca && ca.verify(ca.publicKey)).toBe(true);
    expect(cert.checkIssued(ca) && cert.verify(ca.publicKey)).toBe(true);
    expect([cert.ca, cert.subject, cert.issuer]).toEqual([false, "CN=leaf", ca.subject]);
    expect(cert.subjectAltName).toBe("DNS:localhost, IP Address:127.0.0.1");
    expect(cert.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
    expect(cert.validToDate.getTime() - cert.validFromDate.getTime()).toBe(8760 * 3_600_000);
    expect(cert.checkPrivateKey(createPrivateKey(String(made.rsaKey)))).toBe(true);
    expect(made.ecKey).toMatch(/^-----BEGIN EC PRIVATE KEY-----\n/);
    expect(made.rsaKey).toMatch(/^-----BEGIN RSA PRIVATE KEY-----\n/);
    expect(createPublicKey(String(made.ecKey)).export({ type: "spki", format: "pem" })).toBe(made.publicKeyPem);
    expect(BigInt(`0x${ca.serialNumber}`).toString()).toBe(made.id);
    expect(made).toMatchObject({ keyAlgorithm: "ECDSA", readyForRenewal: false });
    expect((await bench.recorded("key"))?.outputs).toMatchObject({ privateKeyPem: SECRET, privateKeyPemPkcs8: SECRET });
    expect(sshPublicKey(String(made.ssh))).toBe(String(made.publicKeyOpenssh).trim());
    expect(await bench.plan(program())).toEqual({});
    await bench.refresh();
    expect(await bench.plan(program())).toEqual({});
  });

  const both = { ca: "replace", cert: "replace" };
  test.each<[string, Partial<SelfSignedCertArgs>, Partial<LocallySignedCertArgs>, object]>([
    ["earlier renewal that is not due", { earlyRenewalHours: 10 }, {}, { ca: "update" }],
    ["renewal that is due", { earlyRenewalHours: 87600 }, {}, both],
    ["the certificate's renewal alone", {}, { earlyRenewalHours: 9000 }, { cert: "replace" }],
    ["validity", { validityPeriodHours: 87601 }, {}, both],
    ["subject", { subject: { ...subject, commonName: "other" } }, {}, both],
    ["path length", { maxPathLength: 1 }, {}, both],
    ["uses", {}, { allowedUses: ["client_auth"] }, { cert: "replace" }],
  ])("plans for another %s", async (_, authority, leaf, want) => {
    expect(await bench.operations(program(authority, leaf))).toEqual(want);
  });

  test("refuses a use that there is not", async () => {
    expect(await bench.plan(program({ allowedUses: ["bogus"] }))).toMatch(/bogus/);
  });
});

/** The public half that an OpenSSH private key file carries (PROTOCOL.key of OpenSSH: magic, three strings, a count, the public key). */
function sshPublicKey(pem: string): string {
  const file = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64");
  let at = "openssh-key-v1\0".length;
  const next = (): Buffer => {
    const length = file.readUInt32BE(at);
    at += 4 + length;
    return file.subarray(at - length, at);
  };
  for (const part of ["none", "none", ""]) expect(next().toString()).toBe(part);
  at += 4;
  const blob = next();
  return `${blob.subarray(4, 4 + blob.readUInt32BE(0)).toString()} ${blob.toString("base64")}`;
}
