import { createHash, type KeyObject, randomBytes } from "node:crypto";

const CURVES: Readonly<Record<string, string>> = { "P-256": "nistp256", "P-384": "nistp384", "P-521": "nistp521" };

/** A length-prefixed string of the SSH wire format (RFC 4251). */
function field(data: Buffer | string): Buffer {
  const bytes = Buffer.from(data);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** A positive integer of the SSH wire format: shortest form, a zero byte before a set top bit. */
function mpint(encoded: string | undefined): Buffer {
  let bytes = Buffer.from(encoded ?? "", "base64url");
  while (bytes[0] === 0) bytes = bytes.subarray(1);
  return field((bytes[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}

interface Parts {
  readonly algorithm: string;
  readonly publicBlob: Buffer;
  readonly privateFields: Buffer;
}

function partsOf(key: KeyObject): Parts | undefined {
  if (key.asymmetricKeyDetails?.namedCurve === "secp224r1") return undefined;
  const jwk = key.export({ format: "jwk" });
  const decode = (value: string | undefined): Buffer => Buffer.from(value ?? "", "base64url");
  if (jwk.kty === "RSA") {
    const algorithm = "ssh-rsa";
    return {
      algorithm,
      publicBlob: Buffer.concat([field(algorithm), mpint(jwk.e), mpint(jwk.n)]),
      privateFields: Buffer.concat([jwk.n, jwk.e, jwk.d, jwk.qi, jwk.p, jwk.q].map(mpint)),
    };
  }
  if (jwk.kty === "OKP") {
    const algorithm = "ssh-ed25519";
    const point = decode(jwk.x);
    return {
      algorithm,
      publicBlob: Buffer.concat([field(algorithm), field(point)]),
      privateFields: Buffer.concat([field(point), field(Buffer.concat([decode(jwk.d), point]))]),
    };
  }
  const curve = CURVES[jwk.crv ?? ""];
  if (curve === undefined) return undefined;
  const algorithm = `ecdsa-sha2-${curve}`;
  const point = Buffer.concat([Buffer.from([4]), decode(jwk.x), decode(jwk.y)]);
  return {
    algorithm,
    publicBlob: Buffer.concat([field(algorithm), field(curve), field(point)]),
    privateFields: Buffer.concat([field(curve), field(point), mpint(jwk.d)]),
  };
}

export interface OpenSsh {
  readonly privateKey: string;
  readonly publicKey: string;
  readonly md5: string;
  readonly sha256: string;
}

/** A private key and its public half as OpenSSH writes them; empty strings for the one curve that OpenSSH does not have, P-224. */
export function openSsh(key: KeyObject): OpenSsh {
  const parts = partsOf(key);
  if (parts === undefined) return { privateKey: "", publicKey: "", md5: "", sha256: "" };
  const { algorithm, publicBlob, privateFields } = parts;
  const check = randomBytes(4);
  let secret = Buffer.concat([check, check, field(algorithm), privateFields, field("")]);
  const padding = (8 - (secret.length % 8)) % 8;
  secret = Buffer.concat([secret, Buffer.from(Array.from({ length: padding }, (_, index) => index + 1))]);
  const count = Buffer.from([0, 0, 0, 1]);
  const file = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    field("none"),
    field("none"),
    field(""),
    count,
    field(publicBlob),
    field(secret),
  ]);
  const lines = file.toString("base64").match(/.{1,64}/g) ?? [];
  const hex = createHash("md5").update(publicBlob).digest("hex");
  return {
    privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join("\n")}\n-----END OPENSSH PRIVATE KEY-----\n`,
    publicKey: `${algorithm} ${publicBlob.toString("base64")}\n`,
    md5: (hex.match(/../g) ?? []).join(":"),
    sha256: `SHA256:${createHash("sha256").update(publicBlob).digest("base64").replace(/=+$/, "")}`,
  };
}
