import { createHash, createPublicKey, generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { integer, oneOf, text } from "../bridge/rules.ts";
import { type Definition, tableHandler } from "../bridge/table.ts";
import { numberOf, type Props, textOf } from "../bridge/values.ts";
import { openSsh } from "./openssh.ts";

const generate = promisify(generateKeyPair);
const CURVES = { P224: "secp224r1", P256: "prime256v1", P384: "secp384r1", P521: "secp521r1" } as const;
const SECRET = { output: true, secret: true } as const;

const definition: Definition = {
  meta: { schema_version: "1" },
  framework: true,
  rules: {
    algorithm: text({ required: true, replaces: true, test: oneOf(["RSA", "ECDSA", "ED25519"]) }),
    ecdsaCurve: text({ default: "P224", replaces: true, test: oneOf(Object.keys(CURVES)) }),
    rsaBits: integer({ default: 2048, replaces: true }),
    privateKeyPem: text(SECRET),
    privateKeyPemPkcs8: text(SECRET),
    privateKeyOpenssh: text(SECRET),
    publicKeyPem: text({ output: true }),
    publicKeyOpenssh: text({ output: true }),
    publicKeyFingerprintMd5: text({ output: true }),
    publicKeyFingerprintSha256: text({ output: true }),
  },
  async create(inputs) {
    const key = await newKey(inputs);
    const publicKey = createPublicKey(key);
    const ssh = openSsh(key);
    return {
      id: createHash("sha1")
        .update(publicKey.export({ type: "spki", format: "der" }))
        .digest("hex"),
      outputs: {
        privateKeyPem: key.export({ type: PEM_TYPES[key.asymmetricKeyType ?? ""] ?? "pkcs8", format: "pem" }).toString(),
        privateKeyPemPkcs8: key.export({ type: "pkcs8", format: "pem" }).toString(),
        privateKeyOpenssh: ssh.privateKey,
        publicKeyPem: publicKey.export({ type: "spki", format: "pem" }).toString(),
        publicKeyOpenssh: ssh.publicKey,
        publicKeyFingerprintMd5: ssh.md5,
        publicKeyFingerprintSha256: ssh.sha256,
      },
    };
  },
};

const PEM_TYPES: Readonly<Record<string, "pkcs1" | "sec1">> = { rsa: "pkcs1", ec: "sec1" };

async function newKey(inputs: Props): Promise<KeyObject> {
  switch (textOf(inputs.algorithm)) {
    case "RSA":
      return (await generate("rsa", { modulusLength: numberOf(inputs.rsaBits) })).privateKey;
    case "ECDSA":
      return (await generate("ec", { namedCurve: CURVES[textOf(inputs.ecdsaCurve) as keyof typeof CURVES] })).privateKey;
    default:
      return (await generate("ed25519")).privateKey;
  }
}

export const privateKey = tableHandler(definition);
