import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Identity } from "../../plan/mirror.ts";
import { ROLES } from "../../plan/render/patroni.ts";
import { POOLER_ADMIN } from "../../plan/render/pgbouncer.ts";
import { CACHE_USERS } from "../../plan/render/valkey.ts";
import type { Common, SecretRef, SecretRefs } from "./contract.ts";

export interface StoreArgs extends Common {
  /** By role, from the stack's own secrets: `rotation` makes new ones of those that people and applications log in with. */
  passwords: Readonly<Record<string, pulumi.Output<string>>>;
  /** Roles of the application. */
  logins: readonly string[];
  identity: pulumi.Output<Identity>;
  ca: pulumi.Output<string>;
  home: { region: string; kmsKeyArn: pulumi.Input<string> };
  /** Further regions get copies, so that they can go on when the home region cannot be reached. */
  copies: readonly { region: string; kmsKeyArn: pulumi.Input<string> }[];
  /**
   * What a new value waits for: the databases. The agent tells them new passwords right after; until then whoever reads a secret should
   * find the one that still holds, also while a class is changed or an update fails on the way.
   */
  after: readonly pulumi.Resource[];
}

/**
 * What the platform logs in with. RDS has no rewind user, and its poolers know passwords, not certificates. What only shards need is there
 * from the start: a secret that is deleted keeps its name for a month, in which none of that name could be made again.
 */
const PLATFORM = [
  ROLES.admin,
  POOLER_ADMIN,
  ROLES.monitor,
  CACHE_USERS.app.role,
  ROLES.replication,
  ROLES.gateway,
  ROLES.gatewayRead,
] as const;

/** Days in which a deleted secret can be brought back; its name cannot be used again before. */
const RECOVERY = 30;

/**
 * The stack's passwords in Secrets Manager. Functions and hosts are told where a secret is, never what it says.
 * A rotation adds a version and keeps the one before as AWSPREVIOUS: whoever reads the secret when a login is refused has the right one
 * again, and connections that are open stay open.
 */
export class Store extends pulumi.ComponentResource {
  readonly refs: SecretRefs;

  constructor(name: string, args: StoreArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:Store", name, {}, options);
    const { passwords, identity, ca, logins } = args;
    const known = (role: string) => passwords[role]!.apply((password) => JSON.stringify({ username: role, password }));
    const roles = [...PLATFORM, ...logins];
    const versions: pulumi.Resource[] = [];
    const secret = (owner: string, kind: "password" | "identity", value: pulumi.Output<string>) => {
      const { ref, version } = this.#secret(owner, kind, value, args);
      versions.push(version);
      return ref;
    };
    this.refs = {
      roles: Object.fromEntries(roles.map((role) => [role, secret(role, "password", known(role))])),
      poolerIdentity: secret(
        "pooler",
        "identity",
        pulumi.all([identity, ca]).apply(([its, authority]) => JSON.stringify({ ...its, ca: authority })),
      ),
      passwords: pulumi.secret(pulumi.all(Object.fromEntries(roles.map((role) => [role, passwords[role]!])))),
      caCertificate: ca,
      after: versions,
    };
    this.registerOutputs({});
  }

  #secret(
    owner: string,
    kind: "password" | "identity",
    value: pulumi.Output<string>,
    args: StoreArgs,
  ): { ref: SecretRef; version: pulumi.Resource } {
    const { home, copies, naming, tags, protect, after } = args;
    const part = `${kind}-${owner}`;
    // Not the hash at the end: Secrets Manager adds six characters of its own, and a look-up by part of an ARN would mix them up.
    const name = `${naming(owner, 200)}/${kind}`;
    const secret = new aws.secretsmanager.Secret(
      part,
      {
        name,
        description: kind === "password" ? `Password of ${owner}` : "Certificate and key of the pooler hosts",
        kmsKeyId: home.kmsKeyArn,
        recoveryWindowInDays: protect ? RECOVERY : 0,
        forceOverwriteReplicaSecret: true,
        replicas: copies.map(({ region, kmsKeyArn }) => ({ region, kmsKeyId: kmsKeyArn })),
        tags: tags(part),
      },
      { parent: this, protect },
    );
    const version = new aws.secretsmanager.SecretVersion(
      part,
      { secretId: secret.id, secretString: pulumi.secret(value) },
      // The version before stays readable as AWSPREVIOUS; AWS clears it away with the next one.
      { parent: this, retainOnDelete: true, dependsOn: [...after] },
    );
    return {
      ref: {
        name,
        arn: secret.arn,
        versionId: version.versionId,
        arnIn: (region) => secret.arn.apply((arn) => arn.replace(`:${home.region}:`, `:${region}:`)),
      },
      version,
    };
  }
}
