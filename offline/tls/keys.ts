import { createPrivateKey, createPublicKey, type KeyObject, webcrypto } from "node:crypto";

const NAMES: Readonly<Record<string, string>> = { ec: "ECDSA", rsa: "RSA", ed25519: "ED25519" };
const CURVES: Readonly<Record<string, { curve: string; hash: string }>> = {
  prime256v1: { curve: "P-256", hash: "SHA-256" },
  secp384r1: { curve: "P-384", hash: "SHA-384" },
  secp521r1: { curve: "P-521", hash: "SHA-512" },
};

export interface SigningKey {
  /** As the provider names it: ECDSA, RSA or ED25519. */
  readonly algorithm: string;
  readonly pair: CryptoKeyPair;
  readonly signature: EcdsaParams | { readonly name: string };
}

type CryptoKeyPair = webcrypto.CryptoKeyPair;
type EcdsaParams = { readonly name: "ECDSA"; readonly hash: string };

/**
 * Reads a private key from any PEM form that the provider takes.
 * @throws for curves that cannot sign here: P-224 is in no web cryptography.
 */
export async function signingKey(pem: string): Promise<SigningKey> {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (error) {
    throw new Error(`Failed to parse private key PEM: ${error instanceof Error ? error.message : String(error)}`);
  }
  const [parameters, signature] = parametersOf(key);
  const load = (format: "pkcs8" | "spki", data: Buffer, use: "sign" | "verify"): Promise<webcrypto.CryptoKey> =>
    webcrypto.subtle.importKey(format, new Uint8Array(data), parameters, true, [use]);
  return {
    algorithm: NAMES[key.asymmetricKeyType ?? ""] ?? "",
    signature,
    pair: {
      privateKey: await load("pkcs8", key.export({ type: "pkcs8", format: "der" }), "sign"),
      publicKey: await load("spki", createPublicKey(key).export({ type: "spki", format: "der" }), "verify"),
    },
  };
}

function parametersOf(
  key: KeyObject,
): [{ name: string; namedCurve: string } | { name: string; hash: string } | { name: string }, SigningKey["signature"]] {
  switch (key.asymmetricKeyType) {
    case "rsa": {
      const rsa = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
      return [rsa, rsa];
    }
    case "ed25519":
      return [{ name: "Ed25519" }, { name: "Ed25519" }];
    default: {
      const known = CURVES[key.asymmetricKeyDetails?.namedCurve ?? ""];
      if (known === undefined) {
        throw new Error(
          `got a key of type ${key.asymmetricKeyType} on curve ${key.asymmetricKeyDetails?.namedCurve}, want RSA, ED25519 or ECDSA on P256, P384 or P521: the stand-in tls provider signs with no others`,
        );
      }
      return [
        { name: "ECDSA", namedCurve: known.curve },
        { name: "ECDSA", hash: known.hash },
      ];
    }
  }
}
