import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { type Common, type DatabaseRefs, type Place, PORTS, type SecretRef } from "./contract.ts";

export interface ProxyArgs extends Common {
  /** The home region. */
  place: Place;
  database: DatabaseRefs;
  /** Of the roles that log in through it. */
  secrets: readonly SecretRef[];
}

const RETENTION = 365;
/** Share of the database's connections, in percent: the session pool, the agent and reads that fall back go past the proxy. */
const SHARE = 60;
/** Seconds that a client waits for a connection, as long as PgBouncer lets its own wait. */
const WAIT = 120;

/**
 * RDS Proxy between the poolers' transaction pool and the primary: it keeps a fail-over from cutting connections off. Its limits: it
 * leads to the writer only; a statement prepared by the protocol, a SET or a statement of more than 16 KB ties a client's connection to
 * a server's, so drivers that prepare statements gain nothing; 20 a region and account; at most 200 secrets; billed by the
 * database's vCPU. Everything else goes past it as without one.
 */
export class RdsProxy extends pulumi.ComponentResource {
  readonly endpoint: pulumi.Output<string>;

  constructor(name: string, args: ProxyArgs, options?: pulumi.ComponentResourceOptions) {
    super("pgladder:aws:RdsProxy", name, {}, { ...options, provider: args.place.provider });
    const { place, database, secrets, naming, tags } = args;
    const child = { parent: this };
    const id = naming("proxy", 60);
    const logs = new aws.cloudwatch.LogGroup(
      "proxy",
      { name: `/aws/rds/proxy/${id}`, retentionInDays: RETENTION, kmsKeyId: place.kmsKeyArn, tags: tags("proxy") },
      child,
    );
    const { role, rights } = this.#role(args);
    const proxy = new aws.rds.Proxy(
      "proxy",
      {
        name: id,
        engineFamily: "POSTGRESQL",
        requireTls: true,
        roleArn: role.arn,
        vpcSubnetIds: [...place.privateSubnetIds],
        vpcSecurityGroupIds: [place.securityGroups.pooler],
        auths: secrets.map(({ arn }) => ({
          authScheme: "SECRETS",
          iamAuth: "DISABLED",
          clientPasswordAuthType: "POSTGRES_SCRAM_SHA_256",
          secretArn: arn,
        })),
        debugLogging: false,
        tags: tags("proxy"),
      },
      { ...child, dependsOn: [rights, logs, ...this.#flow(args)] },
    );
    const targets = new aws.rds.ProxyDefaultTargetGroup(
      "proxy",
      { dbProxyName: proxy.name, connectionPoolConfig: { maxConnectionsPercent: SHARE, connectionBorrowTimeout: WAIT } },
      child,
    );
    const target = new aws.rds.ProxyTarget(
      "proxy",
      { dbProxyName: proxy.name, targetGroupName: targets.name, dbInstanceIdentifier: database.primary.instance.identifier },
      child,
    );
    // Nobody is sent there before it leads somewhere.
    this.endpoint = pulumi.all([proxy.endpoint, target.id]).apply(([host]) => host);
    this.registerOutputs({ endpoint: this.endpoint });
  }

  #role({ place, secrets, naming, tags }: ProxyArgs) {
    const role = new aws.iam.Role(
      "proxy",
      {
        name: naming("proxy", 64),
        assumeRolePolicy: JSON.stringify({
          Version: "2012-10-17",
          Statement: [{ Effect: "Allow", Principal: { Service: "rds.amazonaws.com" }, Action: "sts:AssumeRole" }],
        }),
        tags: tags("proxy"),
      },
      { parent: this },
    );
    const policy = pulumi.all([pulumi.all(secrets.map(({ arn }) => arn)), place.kmsKeyArn]).apply(([arns, key]) =>
      JSON.stringify({
        Version: "2012-10-17",
        Statement: [
          { Sid: "Secrets", Effect: "Allow", Action: "secretsmanager:GetSecretValue", Resource: arns },
          { Sid: "Key", Effect: "Allow", Action: "kms:Decrypt", Resource: key },
        ],
      }),
    );
    return { role, rights: new aws.iam.RolePolicy("proxy", { role: role.name, policy }, { parent: this }) };
  }

  /** The proxy wears the poolers' group: from one to the other. What it needs towards the database the group has. */
  #flow({ place, tags }: ProxyArgs) {
    const group = place.securityGroups.pooler;
    const rule = {
      securityGroupId: group,
      referencedSecurityGroupId: group,
      ipProtocol: "tcp",
      fromPort: PORTS.postgres,
      toPort: PORTS.postgres,
      tags: tags("proxy"),
    };
    const child = { parent: this };
    return [
      new aws.vpc.SecurityGroupIngressRule("proxy-from-pooler", { ...rule, description: "RDS Proxy from pooler" }, child),
      new aws.vpc.SecurityGroupEgressRule("pooler-to-proxy", { ...rule, description: "RDS Proxy from pooler" }, child),
    ];
  }
}
