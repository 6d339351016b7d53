/** Rules of hosts, functions, rights, alarms, schedules, buckets and registries. */
import { textOf } from "../../../../offline/bridge/values.ts";
import { amount, blocks, type CodedRules, check, count, create, given, is, isJson, isNot, isSchedule, known } from "./coded.ts";

const FUNCTION = "aws:lambda/function:Function";
const launch = ["launchConfiguration", "launchTemplate", "mixedInstancesPolicy"] as const;
const BANDS = ["LessThanLowerOrGreaterThanUpperThreshold", "LessThanLowerThreshold", "GreaterThanUpperThreshold"];
const INTERFACES = "ec2:CreateNetworkInterface";
const SCHEDULE = "aws:scheduler/schedule:Schedule";

export const COMPUTE: CodedRules = {
  "aws:ec2/launchTemplate:LaunchTemplate": {
    "lt-user-data-base64": check((w) => {
      const text = known(w.userData);
      return text !== undefined && Buffer.from(text, "base64").toString("base64") !== text;
    }),
    "lt-ni-security-groups": check((w) => given(w.networkInterfaces) && given(w.vpcSecurityGroupIds)),
    "lt-type-xor-requirements": check((w) => count(w, "instanceType", "instanceRequirements") === 2),
    "lt-ebs-iops": check(
      (w) =>
        blocks(w.blockDeviceMappings).some((m) =>
          blocks(m.ebs).some(
            (e) =>
              (given(e.iops) && !["io1", "io2", "gp3"].includes(known(e.volumeType) ?? "gp3")) ||
              (given(e.throughput) && isNot(e.volumeType, "gp3")),
          ),
        ),
      true,
    ),
  },
  "aws:autoscaling/group:Group": {
    "asg-sizes": check((w) => {
      const desired = given(w.desiredCapacity) ? amount(w.desiredCapacity) : amount(w.minSize);
      return amount(w.minSize) > amount(w.maxSize) || desired < amount(w.minSize) || desired > amount(w.maxSize);
    }),
    "asg-launch-source": check((w) => count(w, ...launch) !== 1),
    "asg-where": check((w) => count(w, "availabilityZones", "vpcZoneIdentifiers") === 0),
    "asg-refresh-range": check((w) =>
      blocks(w.instanceRefresh).some((r) =>
        blocks(r.preferences).some((p) => amount(p.maxHealthyPercentage) - amount(p.minHealthyPercentage) > 100),
      ),
    ),
    "asg-maintenance": check((w) =>
      blocks(w.instanceMaintenancePolicy).some((p) => {
        const [least, most] = [amount(p.minHealthyPercentage), amount(p.maxHealthyPercentage)];
        return (least === -1) !== (most === -1) || most - least > 100;
      }),
    ),
  },
  "aws:autoscaling/lifecycleHook:LifecycleHook": {
    "hook-role": check((w) => given(w.notificationTargetArn) && !given(w.roleArn), true),
  },
  "aws:iam/role:Role": {
    "role-trust-length": check((w) => (known(w.assumeRolePolicy)?.length ?? 0) > 2_048, true),
  },
  "aws:iam/rolePolicy:RolePolicy": {
    "rp-role-name": check((w) => known(w.role)?.startsWith("arn:") ?? false),
    "rp-policy-valid": check((w) => !isJson(w.policy)),
    "rp-total-length": create(({ wanted, book }) => {
      const same = book.things.filter(({ type, state }) => type === "aws:iam/rolePolicy:RolePolicy" && state.role === wanted.role);
      const length = (policy: string) => policy.replaceAll(/\s/g, "").length;
      return (
        [wanted.policy, ...same.map(({ state }) => state.policy)].reduce<number>((sum, policy) => sum + length(textOf(policy)), 0) > 10_240
      );
    }),
  },
  "aws:iam/rolePolicyAttachment:RolePolicyAttachment": {
    "rpa-role-name": check((w) => known(w.role)?.startsWith("arn:") ?? false, true),
  },
  [FUNCTION]: {
    "fn-zip-needs-handler": check((w) => is(w.packageType ?? "Zip", "Zip") && count(w, "handler", "runtime") < 2),
    "fn-image-no-handler": check((w) => is(w.packageType ?? "", "Image") && count(w, "handler", "runtime", "layers") > 0),
    "fn-code-source": check((w) => count(w, "code", "imageUri", "s3Bucket") !== 1),
    "fn-memory-standard": check((w) => amount(w.memorySize) > 10_240 && !given(w.capacityProviderConfig)),
    "fn-log-levels": check((w) =>
      blocks(w.loggingConfig).some((l) => is(l.logFormat ?? "", "Text") && count(l, "applicationLogLevel", "systemLogLevel") > 0),
    ),
    "fn-vpc-role": create(({ wanted, book }) => {
      const role = textOf(wanted.role).split("/").at(-1);
      const allowed = book.things.some(
        ({ type, state }) =>
          textOf(state.role).split("/").at(-1) === role &&
          ((type.endsWith(":RolePolicyAttachment") && /\/AWSLambda(VPCAccess|ENIManagement)/.test(textOf(state.policyArn))) ||
            (type.endsWith(":RolePolicy") && textOf(state.policy).includes(INTERFACES))),
      );
      return given(wanted.vpcConfig) && !allowed;
    }),
  },
  "aws:lambda/invocation:Invocation": {
    "inv-crud-input": check((w) => is(w.lifecycleScope ?? "CREATE_ONLY", "CRUD") && !(known(w.input) ?? "{").trim().startsWith("{")),
  },
  "aws:cloudwatch/metricAlarm:MetricAlarm": {
    "alarm-metric-statistic": check((w) => given(w.metricName) && count(w, "statistic", "extendedStatistic") !== 1),
    "alarm-metric-or-query": check((w) => count(w, "metricName", "metricQueries", "evaluationCriteria") !== 1),
    "alarm-ordinary-required": check((w) => count(w, "comparisonOperator", "evaluationPeriods") < 2),
    "alarm-query-both": check((w) => blocks(w.metricQueries).some((q) => count(q, "expression", "metric") !== 1)),
    "alarm-one-return-data": check(
      (w) => given(w.metricQueries) && blocks(w.metricQueries).filter((q) => is(q.returnData ?? false, true)).length !== 1,
    ),
    "alarm-period": check((w) => ![10, 20, 30].includes(amount(w.period)) && amount(w.period) % 60 > 0),
    "alarm-window": check((w) => amount(w.period) * amount(w.evaluationPeriods) > (amount(w.period) < 3_600 ? 86_400 : 604_800)),
    "alarm-datapoints": check((w) => amount(w.datapointsToAlarm) > amount(w.evaluationPeriods)),
    "alarm-anomaly": check((w) => BANDS.includes(known(w.comparisonOperator) ?? "") && !given(w.thresholdMetricId)),
  },
  "aws:cloudwatch/dashboard:Dashboard": { "dash-body-valid": check((w) => !isJson(w.dashboardBody)) },
  "aws:cloudwatch/eventRule:EventRule": {
    "er-schedule-default-bus": check((w) => given(w.scheduleExpression) && isNot(w.eventBusName ?? "default", "default")),
    "er-schedule-syntax": check((w) => given(w.scheduleExpression) && !isSchedule(w.scheduleExpression, ["rate", "cron"])),
  },
  "aws:cloudwatch/eventTarget:EventTarget": {
    "et-input-one": check((w) => count(w, "input", "inputPath", "inputTransformer") > 1),
    "et-quota": create(
      ({ wanted, book }) =>
        book.things.filter(({ type, state }) => type.endsWith(":EventTarget") && state.rule === wanted.rule).length >= 5,
    ),
  },
  [SCHEDULE]: {
    "sch-flexible": check((w) =>
      blocks(w.flexibleTimeWindow).some((f) => is(f.mode ?? "", "FLEXIBLE") !== given(f.maximumWindowInMinutes)),
    ),
    "sch-expression": check((w) => !isSchedule(w.scheduleExpression, ["rate", "cron", "at"])),
    "sch-role-trust": create(({ wanted, book }) =>
      blocks(wanted.target).some(({ roleArn }) => {
        const role = book.things.find(({ type, state }) => type === "aws:iam/role:Role" && state.arn === roleArn);
        return role !== undefined && !textOf(role.state.assumeRolePolicy).includes("scheduler.amazonaws.com");
      }),
    ),
  },
  "aws:ecr/repository:Repository": {
    "ecr-kms-key": check(
      (w) => blocks(w.encryptionConfigurations).some((e) => isNot(e.encryptionType ?? "AES256", "KMS") && given(e.kmsKey)),
      true,
    ),
  },
};
