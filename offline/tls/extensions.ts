import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";
import { numberOf, type Props, textsOf } from "../bridge/values.ts";

const { KeyUsageFlags: Use, ExtendedKeyUsage: Extended } = x509;

const USES: Readonly<Record<string, x509.KeyUsageFlags>> = {
  digital_signature: Use.digitalSignature,
  content_commitment: Use.nonRepudiation,
  key_encipherment: Use.keyEncipherment,
  data_encipherment: Use.dataEncipherment,
  key_agreement: Use.keyAgreement,
  cert_signing: Use.keyCertSign,
  crl_signing: Use.cRLSign,
  encipher_only: Use.encipherOnly,
  decipher_only: Use.decipherOnly,
};

const EXTENDED_USES: Readonly<Record<string, string>> = {
  any_extended: "2.5.29.37.0",
  server_auth: Extended.serverAuth,
  client_auth: Extended.clientAuth,
  code_signing: Extended.codeSigning,
  email_protection: Extended.emailProtection,
  ipsec_end_system: "1.3.6.1.5.5.7.3.5",
  ipsec_tunnel: "1.3.6.1.5.5.7.3.6",
  ipsec_user: "1.3.6.1.5.5.7.3.7",
  timestamping: Extended.timeStamping,
  ocsp_signing: Extended.ocspSigning,
  microsoft_server_gated_crypto: "1.3.6.1.4.1.311.10.3.3",
  netscape_server_gated_crypto: "2.16.840.1.113730.4.1",
  microsoft_commercial_code_signing: "1.3.6.1.4.1.311.2.1.22",
  microsoft_kernel_code_signing: "1.3.6.1.4.1.311.61.1.1",
};

/** Every name that `allowedUses` takes. */
export const KEY_USES: readonly string[] = [...Object.keys(USES), ...Object.keys(EXTENDED_USES)].sort();

export interface Authority {
  readonly subject: x509.Name;
  /** The issuer's key identifier in hexadecimal, when it has one. */
  readonly keyId: string | undefined;
}

/** The key identifier in hexadecimal: SHA-1 of the public key's bits (RFC 5280, 4.2.1.2, method 1). */
export async function subjectKeyId(key: x509.PublicKey): Promise<string> {
  return (await x509.SubjectKeyIdentifierExtension.create(key)).keyId;
}

/** What the provider writes into every certificate besides its names. */
export async function certificateExtensions(
  inputs: Props,
  key: x509.PublicKey,
  authority: Authority | undefined,
): Promise<x509.Extension[]> {
  const uses = textsOf(inputs.allowedUses);
  const extensions: x509.Extension[] = [];
  const flags = uses.reduce((sum, use) => sum | (USES[use] ?? 0), 0);
  if (flags !== 0) extensions.push(new x509.KeyUsagesExtension(flags, true));
  const extended = uses.flatMap((use) => EXTENDED_USES[use] ?? []);
  if (extended.length > 0) extensions.push(new x509.ExtendedKeyUsageExtension(extended));
  const authorityRole = inputs.isCaCertificate === true;
  const pathLength = numberOf(inputs.maxPathLength);
  extensions.push(new x509.BasicConstraintsExtension(authorityRole, authorityRole && pathLength > 0 ? pathLength : undefined, true));
  if (authorityRole || inputs.setSubjectKeyId === true) {
    extensions.push(new x509.SubjectKeyIdentifierExtension(await subjectKeyId(key)));
  }
  if (authority?.keyId !== undefined) extensions.push(new x509.AuthorityKeyIdentifierExtension(authority.keyId));
  return extensions;
}

/** The names and addresses that a certificate holds for; critical when there is no other name, as RFC 5280 wants. */
export function subjectAlternatives(inputs: Props, subject: x509.Name): x509.Extension[] {
  const addresses = textsOf(inputs.ipAddresses);
  for (const address of addresses) if (isIP(address) === 0) throw new Error(`Invalid IP address: Failed to parse "${address}"`);
  const names: x509.JsonGeneralNames = [
    ...textsOf(inputs.dnsNames).map((value) => ({ type: "dns" as const, value })),
    ...addresses.map((value) => ({ type: "ip" as const, value })),
    ...textsOf(inputs.uris).map((value) => ({ type: "url" as const, value })),
  ];
  if (names.length === 0) return [];
  return [new x509.SubjectAlternativeNameExtension(names, subject.toJSON().length === 0)];
}
