import "reflect-metadata";
import { createHash, randomBytes } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { atLeast, flag, integer, list, object, oneOf, type Rules, text } from "../bridge/rules.ts";
import { type Definition, tableHandler } from "../bridge/table.ts";
import { isProps, numberOf, type Props, textOf, textsOf } from "../bridge/values.ts";
import { type Authority, certificateExtensions, KEY_USES, subjectAlternatives, subjectKeyId } from "./extensions.ts";
import { type SigningKey, signingKey } from "./keys.ts";

const HOUR = 3_600_000;
const R = { replaces: true } as const;
const OUT = { output: true } as const;
const pem = text({ required: true, ...R });
const secretPem = text({ required: true, secret: true, ...R });
const UNSUPPORTED = { unsupported: true } as const;

const SUBJECT: Rules = {
  commonName: text(),
  country: text(),
  emailAddress: text(),
  locality: text(),
  organization: text(),
  organizationalUnit: text(),
  postalCode: text(),
  province: text(),
  serialNumber: text(),
  streetAddresses: list(text()),
};

const NAME_RULES: Rules = { subject: object(SUBJECT, R), dnsNames: list(text(), R), ipAddresses: list(text(), R), uris: list(text(), R) };

const VALIDITY_RULES: Rules = {
  allowedUses: list(text({ test: oneOf(KEY_USES) }), { required: true, ...R }),
  validityPeriodHours: integer({ required: true, test: atLeast(0), ...R }),
  earlyRenewalHours: integer({ default: 0, test: atLeast(0) }),
  isCaCertificate: flag({ default: false, ...R }),
  maxPathLength: integer({ computed: true, test: atLeast(-1), ...R }),
  setSubjectKeyId: flag({ default: false, ...R }),
  certPem: text(OUT),
  readyForRenewal: flag(OUT),
  validityStartTime: text(OUT),
  validityEndTime: text(OUT),
};

/** The order in which certificates list the parts of a name. */
const NAME_PARTS = [
  ["country", "2.5.4.6"],
  ["organization", "2.5.4.10"],
  ["organizationalUnit", "2.5.4.11"],
  ["locality", "2.5.4.7"],
  ["province", "2.5.4.8"],
  ["streetAddresses", "2.5.4.9"],
  ["postalCode", "2.5.4.17"],
  ["commonName", "2.5.4.3"],
  ["serialNumber", "2.5.4.5"],
  ["emailAddress", "1.2.840.113549.1.9.1"],
] as const;

function nameOf(subject: Props[string] | undefined): x509.Name {
  const given = isProps(subject) ? subject : {};
  const parts = NAME_PARTS.flatMap(([property, oid]) => {
    const values = property === "streetAddresses" ? textsOf(given[property]) : [textOf(given[property])];
    return values.filter((value) => value !== "").map((value) => ({ [oid]: [value] }));
  });
  return new x509.Name(parts);
}

/** True when the time to renew has come: the end of validity less the hours of early renewal. */
function isDue(state: Props, earlyRenewalHours: number): boolean {
  const end = Date.parse(textOf(state.validityEndTime));
  return !Number.isNaN(end) && end - earlyRenewalHours * HOUR <= Date.now();
}

const renewal: Pick<Definition, "drift" | "read"> = {
  drift(state, inputs) {
    const due = isDue(state, numberOf(inputs.earlyRenewalHours));
    return due ? [{ property: "readyForRenewal", kind: "update", replaces: true }] : [];
  },
  async read(_id, state) {
    return isDue(state, numberOf(state.earlyRenewalHours)) ? { readyForRenewal: true } : {};
  },
};

interface Request {
  readonly subject: x509.Name;
  readonly alternatives: x509.Extension[];
  readonly publicKey: x509.PublicKey;
}

async function issue(
  inputs: Props,
  request: Request,
  signer: SigningKey,
  authority: Authority | undefined,
): Promise<{ id: string; outputs: Props }> {
  if (inputs.isCaCertificate === true && request.subject.toJSON().length === 0) {
    throw new Error("Must contain at least one Distinguished Name when creating Certificate Authority (CA)");
  }
  const serial = randomBytes(16);
  const start = new Date();
  const end = new Date(start.getTime() + numberOf(inputs.validityPeriodHours) * HOUR);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial.toString("hex"),
    subject: request.subject,
    issuer: authority?.subject ?? request.subject,
    notBefore: start,
    notAfter: end,
    publicKey: request.publicKey,
    signingKey: signer.pair.privateKey,
    signingAlgorithm: signer.signature,
    extensions: [...(await certificateExtensions(inputs, request.publicKey, authority)), ...request.alternatives],
  });
  return {
    id: BigInt(`0x${serial.toString("hex")}`).toString(),
    outputs: {
      certPem: `${certificate.toString("pem")}\n`,
      readyForRenewal: false,
      validityStartTime: start.toISOString(),
      validityEndTime: end.toISOString(),
    },
  };
}

const selfSigned: Definition = {
  meta: {},
  framework: true,
  rules: {
    privateKeyPem: secretPem,
    privateKeyPemWo: text(UNSUPPORTED),
    privateKeyPemWoVersion: integer(UNSUPPORTED),
    ...NAME_RULES,
    ...VALIDITY_RULES,
    setAuthorityKeyId: flag({ default: false, ...R }),
    keyAlgorithm: text(OUT),
  },
  ...renewal,
  async create(inputs) {
    const key = await signingKey(textOf(inputs.privateKeyPem));
    const subject = nameOf(inputs.subject);
    const publicKey = await x509.PublicKey.create(key.pair.publicKey);
    const ownId = inputs.isCaCertificate === true || inputs.setSubjectKeyId === true ? await subjectKeyId(publicKey) : undefined;
    if (inputs.setAuthorityKeyId === true && ownId === undefined) throw new Error("Could not determine Authority Key Identifier");
    const authority = { subject, keyId: inputs.setAuthorityKeyId === true ? ownId : undefined };
    const { id, outputs } = await issue(inputs, { subject, publicKey, alternatives: subjectAlternatives(inputs, subject) }, key, authority);
    return { id, outputs: { ...outputs, keyAlgorithm: key.algorithm } };
  },
};

const request: Definition = {
  meta: {},
  framework: true,
  rules: {
    privateKeyPem: secretPem,
    privateKeyPemWo: text(UNSUPPORTED),
    privateKeyPemWoVersion: integer(UNSUPPORTED),
    ...NAME_RULES,
    certRequestPem: text(OUT),
    keyAlgorithm: text(OUT),
  },
  async create(inputs) {
    const key = await signingKey(textOf(inputs.privateKeyPem));
    const subject = nameOf(inputs.subject);
    const made = await x509.Pkcs10CertificateRequestGenerator.create({
      name: subject,
      keys: key.pair,
      signingAlgorithm: key.signature,
      extensions: subjectAlternatives(inputs, subject),
    });
    const id = createHash("sha1").update(Buffer.from(made.rawData)).digest("hex");
    return { id, outputs: { certRequestPem: `${made.toString("pem")}\n`, keyAlgorithm: key.algorithm } };
  },
};

const locallySigned: Definition = {
  meta: {},
  framework: true,
  rules: {
    caCertPem: pem,
    caPrivateKeyPem: secretPem,
    caPrivateKeyPemWo: text(UNSUPPORTED),
    caPrivateKeyPemWoVersion: integer(UNSUPPORTED),
    certRequestPem: pem,
    ...VALIDITY_RULES,
    caKeyAlgorithm: text(OUT),
  },
  ...renewal,
  async create(inputs) {
    const key = await signingKey(textOf(inputs.caPrivateKeyPem));
    const parent = new x509.X509Certificate(textOf(inputs.caCertPem));
    const wanted = new x509.Pkcs10CertificateRequest(textOf(inputs.certRequestPem));
    if (!(await wanted.verify())) throw new Error("Failed to parse certificate request PEM: its signature does not fit its key");
    const keyId = parent.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId;
    const alternatives = wanted.extensions.filter((extension) => extension.type === "2.5.29.17");
    const asked = { subject: wanted.subjectName, publicKey: wanted.publicKey, alternatives };
    const { id, outputs } = await issue(inputs, asked, key, { subject: parent.subjectName, keyId });
    return { id, outputs: { ...outputs, caKeyAlgorithm: key.algorithm } };
  },
};

export const selfSignedCert = tableHandler(selfSigned);
export const certRequest = tableHandler(request);
export const locallySignedCert = tableHandler(locallySigned);
