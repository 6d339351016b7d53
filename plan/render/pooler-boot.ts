/** What a pooler host runs at its first start, before and around the container: the instance's user data. No secret is in it. */

export interface BootInput {
  region: string;
  /** Image by digest, and the region of the repository that it is in. */
  image: string;
  imageRegion: string;
  /** PgBouncer processes of a host. Its program reads the number at its start only: another one makes new hosts. */
  processes: number;
  /** Name of the host's settings in Parameter Store. */
  parameter: string;
  /** Names in Secrets Manager of everything that the host must know. */
  secrets: readonly string[];
  logGroup: string;
  /** The auto-scaling group, and the hook that holds up the end of a host until its clients are gone. */
  group: string;
  hook: string;
  /** Where RDS' certificate authorities are to be had. */
  authorities: string;
}

/** Seconds between two looks at settings and secrets. */
const LOOK = 30;
/** Seconds that the program may take to leave: 20 until the load balancer has seen it, 300 for the clients, and the rest for what breaks off. */
export const LEAVE = 340;
/** The container's user. */
const UID = 6432;
/** Open files of the container: a client and a server connection each, with room for every stage. */
const FILES = 65_536;

/** Where the certificate authorities of RDS in all regions are to be had: a host may reach databases of two. China and GovCloud have their own. */
export function rdsAuthorities(partition: string): string {
  if (partition === "aws-cn") return "https://rds-truststore.s3.cn-north-1.amazonaws.com.cn/global/global-bundle.pem";
  if (partition === "aws-us-gov") return "https://truststore.pki.us-gov-west-1.rds.amazonaws.com/global/global-bundle.pem";
  return "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem";
}

/** Puts settings, secrets and RDS' authorities where the container reads them. A file is replaced as a whole or stays as it was. */
const INPUTS = `#!/bin/bash
set -euo pipefail
folder=\${PGLADDER_FOLDER:-/run/pgladder}
install -d -m 0700 -o ${UID} -g ${UID} "$folder"
exec 9<"$folder"
flock 9
put() {
  install -m 0400 -o ${UID} -g ${UID} /dev/stdin "$folder/.$1" <<<"$2"
  mv "$folder/.$1" "$folder/$1"
}
settings=$(aws ssm get-parameter --name "$PARAMETER" --with-decryption --query Parameter.Value --output text | base64 -d | gunzip)
secrets=$(aws secretsmanager batch-get-secret-value --secret-id-list $SECRETS --output json)
# Not all of them: a role's right that is still on its way.
if grep -q '"ErrorCode"' <<<"$secrets"; then echo "secrets: some cannot be read" >&2; exit 1; fi
[ -s "$folder/rds-ca.pem" ] || put rds-ca.pem "$(curl -fsS --retry 5 "$AUTHORITIES")"
put secrets.json "$secrets"
put settings.json "$settings"
`;

const IMAGE = `#!/bin/bash
set -euo pipefail
docker image inspect "$IMAGE" >/dev/null 2>&1 && exit
login=$(aws ecr get-login-password --region "$IMAGE_REGION")
docker login --username AWS --password-stdin "\${IMAGE%%/*}" <<<"$login"
docker pull --quiet "$IMAGE"
docker logout "\${IMAGE%%/*}"
`;

/** Waits until the group wants this host gone, lets the program leave, then tells the group. */
const LEAVING = `#!/bin/bash
set -uo pipefail
metadata() {
  local token
  token=$(curl -fsS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token) || return
  curl -fsS -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"
}
until [ "$(metadata autoscaling/target-lifecycle-state 2>/dev/null)" = Terminated ]; do sleep 5; done
systemctl stop pgladder-pooler
until aws autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE --lifecycle-hook-name "$HOOK" \\
  --auto-scaling-group-name "$GROUP" --instance-id "$INSTANCE"; do sleep 5; done
`;

const unit = (sections: Readonly<Record<string, readonly string[]>>): string =>
  Object.entries(sections)
    .map(([section, lines]) => `[${section}]\n${lines.join("\n")}\n`)
    .join("\n");

/** What the host is told, and what it has found out about itself. */
const ENVIRONMENT = "/etc/pgladder-host.env";
const ITSELF = "/etc/pgladder-instance.env";
const ENVIRONMENTS = [ENVIRONMENT, ITSELF].map((path) => `EnvironmentFile=${path}`);
const BIN = "/usr/local/bin";

const RUN = [
  "/usr/bin/docker run --rm --name pgladder-pooler --network host --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges",
  `--tmpfs /etc/pgladder:uid=${UID},gid=${UID},mode=0700 --volume /run/pgladder:/run/pgladder:ro --ulimit nofile=${FILES}:${FILES}`,
  // biome-ignore lint/suspicious/noTemplateCurlyInString: systemd's own variables
  "--log-driver awslogs --log-opt awslogs-region=${AWS_DEFAULT_REGION} --log-opt awslogs-group=${LOG_GROUP}",
  // biome-ignore lint/suspicious/noTemplateCurlyInString: systemd's own variables
  "--log-opt awslogs-stream=${INSTANCE} --log-opt mode=non-blocking ${IMAGE}",
].join(" ");

const UNITS: Readonly<Record<string, string>> = {
  "pgladder-pooler.service": unit({
    Unit: [
      "Description=pgladder pooler",
      "Requires=docker.service",
      "After=docker.service network-online.target",
      "StartLimitIntervalSec=0",
    ],
    Service: [
      ...ENVIRONMENTS,
      `ExecStartPre=${BIN}/pgladder-inputs`,
      `ExecStartPre=${BIN}/pgladder-image`,
      "ExecStartPre=-/usr/bin/docker rm --force pgladder-pooler",
      `ExecStart=${RUN}`,
      `ExecStop=/usr/bin/docker stop --time ${LEAVE} pgladder-pooler`,
      "TimeoutStartSec=600",
      `TimeoutStopSec=${LEAVE + 20}`,
      "Restart=always",
      "RestartSec=5",
    ],
    Install: ["WantedBy=multi-user.target"],
  }),
  "pgladder-inputs.service": unit({
    Unit: ["Description=pgladder: settings and secrets of the pooler"],
    Service: ["Type=oneshot", ...ENVIRONMENTS, `ExecStart=${BIN}/pgladder-inputs`],
  }),
  "pgladder-inputs.timer": unit({
    Timer: [`OnActiveSec=${LOOK}`, `OnUnitInactiveSec=${LOOK}`, "AccuracySec=1"],
    Install: ["WantedBy=timers.target"],
  }),
  "pgladder-leaving.service": unit({
    Unit: ["Description=pgladder: lets clients finish before the host ends", "StartLimitIntervalSec=0"],
    Service: [...ENVIRONMENTS, `ExecStart=${BIN}/pgladder-leaving`, "Restart=on-failure", "RestartSec=5"],
    Install: ["WantedBy=multi-user.target"],
  }),
};

const SCRIPTS: Readonly<Record<string, string>> = {
  "pgladder-inputs": INPUTS,
  "pgladder-image": IMAGE,
  "pgladder-leaving": LEAVING,
};

/** The host's variables: what its scripts are told. Every value is a name of AWS' own, without blanks, but the list of secrets. */
const environment = (input: BootInput): string =>
  Object.entries({
    AWS_DEFAULT_REGION: input.region,
    IMAGE: input.image,
    IMAGE_REGION: input.imageRegion,
    PARAMETER: input.parameter,
    SECRETS: `"${input.secrets.join(" ")}"`,
    AUTHORITIES: input.authorities,
    LOG_GROUP: input.logGroup,
    GROUP: input.group,
    HOOK: input.hook,
    PROCESSES: input.processes,
  })
    .map(([key, value]) => `${key}=${value}\n`)
    .join("");

const file = (path: string, content: string, mode: string): string =>
  `install -m ${mode} /dev/stdin ${path} <<'END OF FILE'\n${content}END OF FILE\n`;

/** The script that an Amazon Linux 2023 host runs once as root. At most 16 KB. */
export function renderBoot(input: BootInput): string {
  return `#!/bin/bash
set -euo pipefail
dnf install --assumeyes docker
token=$(curl -fsS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)
instance=$(curl -fsS -H "X-aws-ec2-metadata-token: $token" http://169.254.169.254/latest/meta-data/instance-id)
install -m 0600 /dev/stdin ${ITSELF} <<<"INSTANCE=$instance"
${[
  file(ENVIRONMENT, environment(input), "0600"),
  ...Object.entries(SCRIPTS).map(([name, content]) => file(`${BIN}/${name}`, content, "0755")),
  ...Object.entries(UNITS).map(([name, content]) => file(`/etc/systemd/system/${name}`, content, "0644")),
].join("")}systemctl daemon-reload
systemctl enable --now docker pgladder-leaving.service pgladder-pooler.service pgladder-inputs.timer
`;
}
