import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import * as tls from "@pulumi/tls";
import type { Identity } from "../plan/mirror.ts";
import { ROLES } from "../plan/render/patroni.ts";
import { POOLER_ADMIN } from "../plan/render/pgbouncer.ts";
import { CACHE_USERS } from "../plan/render/valkey.ts";

const YEAR = 365 * 24;

/** Roles that only the platform uses. Their passwords live inside the network and never change. */
const PLATFORM_ROLES = [
  ROLES.admin,
  ROLES.replication,
  ROLES.rewind,
  ROLES.gateway,
  ROLES.gatewayRead,
  POOLER_ADMIN,
  CACHE_USERS.agent.role,
  CACHE_USERS.copy.role,
  CACHE_USERS.door.role,
] as const;

export interface SecretsArgs {
  stack: string;
  /** Roles that people and applications log in with: their passwords change with `rotation`. */
  logins: readonly string[];
  /** Raising it makes new passwords for `logins`; nothing restarts. */
  rotation: number;
  /** Host names by the part that answers to them; each part gets a certificate of its own. */
  hosts: Readonly<Record<string, readonly string[]>>;
}

/** The stack's passwords, its private certificate authority and a certificate for each part. */
export class Secrets extends pulumi.ComponentResource {
  /** By role name; secret. */
  readonly passwords: pulumi.Output<Record<string, string>>;
  /** The same one by one: a preview of a rotation knows those that stay. */
  readonly byRole: Readonly<Record<string, pulumi.Output<string>>>;
  readonly ca: pulumi.Output<string>;
  /** By part; secret. */
  readonly identities: pulumi.Output<Record<string, Identity>>;

  constructor(name: string, { stack, logins, rotation, hosts }: SecretsArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:index:Secrets", name, {}, options);
    const child = { parent: this };
    const password = (role: string, keepers: Record<string, string>) =>
      new random.RandomPassword(`password-${role}`, { length: 32, special: false, keepers }, child).result;
    this.byRole = Object.fromEntries([
      ...PLATFORM_ROLES.map((role) => [role, pulumi.secret(password(role, {}))]),
      ...logins.map((role) => [role, pulumi.secret(password(role, { rotation: String(rotation) }))]),
    ]);
    this.passwords = pulumi.secret(pulumi.all(this.byRole));

    const caKey = new tls.PrivateKey("ca", { algorithm: "ECDSA", ecdsaCurve: "P256" }, { ...child, protect: false });
    const ca = new tls.SelfSignedCert(
      "ca",
      {
        privateKeyPem: caKey.privateKeyPem,
        isCaCertificate: true,
        setSubjectKeyId: true,
        setAuthorityKeyId: true,
        subject: { commonName: `pgladder ${stack}` },
        validityPeriodHours: 20 * YEAR,
        // Python's TLS refuses an authority without these.
        allowedUses: ["cert_signing", "crl_signing"],
      },
      child,
    );
    this.ca = ca.certPem;
    const identity = (part: string, dnsNames: readonly string[]) => {
      const key = new tls.PrivateKey(part, { algorithm: "ECDSA", ecdsaCurve: "P256" }, child);
      const request = new tls.CertRequest(
        part,
        {
          privateKeyPem: key.privateKeyPem,
          subject: { commonName: part },
          dnsNames: [part, ...dnsNames, "localhost"],
          ipAddresses: ["127.0.0.1"],
        },
        child,
      );
      const certificate = new tls.LocallySignedCert(
        part,
        {
          certRequestPem: request.certRequestPem,
          caPrivateKeyPem: caKey.privateKeyPem,
          caCertPem: ca.certPem,
          validityPeriodHours: 5 * YEAR,
          earlyRenewalHours: YEAR,
          allowedUses: ["digital_signature", "server_auth", "client_auth"],
          setSubjectKeyId: true,
        },
        child,
      );
      return pulumi.all([certificate.certPem, key.privateKeyPem]).apply(([pem, secret]): Identity => ({ certificate: pem, key: secret }));
    };
    this.identities = pulumi.secret(
      pulumi.all(Object.fromEntries(Object.entries(hosts).map(([part, names]) => [part, identity(part, names)]))),
    );
    this.registerOutputs({ ca: this.ca });
  }
}
