/** One resource type of the stand-in: the table's rules and the coded ones before anything happens, the account as what happens. */
import { createHash, randomBytes } from "node:crypto";
import { checkInputs, type Failure } from "../../../../offline/bridge/check.ts";
import { diffState, driftedInputs, plannedState, settledState, withDefaults } from "../../../../offline/bridge/diff.ts";
import { type Handler, InitError, type Session } from "../../../../offline/bridge/handler.ts";
import { listOf, type Props, secret, textOf, UNKNOWN } from "../../../../offline/bridge/values.ts";
import type { Account, Book, Fault, Thing } from "./account.ts";
import { decided, foreseen, settled } from "./change.ts";
import type { Look, Phase } from "./coded.ts";
import { COMPUTE } from "./coded-compute.ts";
import { DATA } from "./coded-data.ts";
import { NETWORK } from "./coded-network.ts";
import { computed } from "./create.ts";
import { crossProblems } from "./cross.ts";
import { dangling, holders, sameScope, taken } from "./references.ts";
import { bridgeRules, type ResourceType, TYPES } from "./table.ts";

export const CODED = { ...DATA, ...NETWORK, ...COMPUTE };

const SECRET = "aws:secretsmanager/secret:Secret";
const SECRET_VERSION = "aws:secretsmanager/secretVersion:SecretVersion";
const INSTANCE = "aws:rds/instance:Instance";

/** Where a handler works. */
export interface World {
  readonly account: Account;
  /** The region of the provider that is asked. */
  readonly region: () => string;
}

/** Problems by the coded rules of these phases; those that were not verified in a source are only told. */
function broken(type: string, table: ResourceType, look: Look, phases: readonly Phase[], session: Session): string[] {
  return Object.entries(CODED[type] ?? {}).flatMap(([id, rule]) => {
    if (!phases.includes(rule.at) || !rule.broken(look)) return [];
    const plain = table.rules[id];
    const words = `rule ${id}: ${plain?.text}`;
    if (plain?.verified !== false || rule.sure) return [words];
    session.log("warning", words);
    return [];
  });
}

function refuse(type: string, problems: readonly string[]): void {
  if (problems.length > 0) throw new Error(`${type}: ${problems.join("; ")}`);
}

/** Gives a resource without a name one of its Pulumi name and seven hexadecimal digits, and keeps it. */
function nameIt(table: ResourceType, urn: string, inputs: Props, olds: Props, seed: Uint8Array): Failure[] {
  const property = table.name;
  const rule = property === undefined ? undefined : table.properties[property];
  if (property === undefined || rule?.autoName === undefined || inputs[property] !== undefined || inputs[`${property}Prefix`] !== undefined)
    return [];
  const { separator, maxLength, lowercase } = rule.autoName;
  const own = urn.slice(urn.lastIndexOf("::") + 2);
  const digits = seed.length > 0 ? createHash("sha256").update(seed).update(own).digest("hex") : randomBytes(4).toString("hex");
  const made = `${own}${separator}${digits.slice(0, 7)}`;
  const name = textOf(olds[property]) || (lowercase ? made.toLowerCase() : made);
  inputs[property] = name;
  inputs.__defaults = [...listOf(inputs.__defaults), property];
  const { failures } = checkInputs(bridgeRules({ [property]: rule }), { [property]: name }, false);
  return name.length > maxLength ? [{ property, reason: `got ${name.length} characters, want at most ${maxLength}` }] : failures;
}

function strike(book: Book, operation: Fault["operation"], type: string, name: string): Fault | undefined {
  const fault = book.faults.find(
    (one) => one.times > 0 && one.operation === operation && one.type === type && name.includes(one.name ?? ""),
  );
  if (fault) fault.times -= 1;
  return fault;
}

function bookkeeping(book: Book, thing: Thing, gone: boolean): void {
  if (thing.type === INSTANCE) {
    for (const { type, state } of book.things) {
      if (type !== INSTANCE || ![state.arn, state.identifier].includes(thing.state.replicateSourceDb ?? "")) continue;
      const rest = listOf(state.replicas).filter((name) => name !== thing.state.identifier);
      state.replicas = gone ? rest : [...rest, thing.state.identifier ?? ""];
    }
  }
  if (gone && thing.type === SECRET) {
    book.things = book.things.filter(({ type, state }) => type !== SECRET_VERSION || state.secretId !== thing.id);
    if (thing.state.recoveryWindowInDays !== 0) book.waiting.push(`${thing.region} ${textOf(thing.state.name)}`);
  }
}

export function awsHandler(type: string, table: ResourceType, { account, region }: World): Handler {
  const rules = bridgeRules(table.properties);
  const nameOf = (state: Props) => textOf(state[table.name ?? ""]);
  const seal = (state: Props, finished = true): Props => {
    const shown = settledState(rules, state, finished);
    for (const [property, rule] of Object.entries(table.properties))
      if (rule.sensitive && shown[property] !== undefined) shown[property] = secret(shown[property]);
    return shown;
  };
  const wantedOf = (inputs: Props) => withDefaults(rules, inputs);
  const whereOf = (inputs: Props) => textOf(inputs.region) || region();
  const look = (book: Book, wanted: Props, before: Props = {}, id = ""): Look => ({ book, wanted, before, id, region: whereOf(wanted) });
  const empty: Book = { things: [], waiting: [], made: 0, faults: [] };
  const find = (book: Book, id: string, state: Props) =>
    book.things.find((thing) => thing.type === type && thing.id === id && sameScope(thing, state));

  return {
    deleteBeforeReplace: ({ state, inputs }) => {
      const property = table.name ?? "";
      const written = !listOf(inputs.__defaults).includes(property) && inputs[property] !== undefined;
      const lasting = table.properties[property]?.autoName !== undefined && written && inputs[property] === state[property];
      return table.deleteBeforeReplace === true || lasting;
    },

    async check({ urn, olds, news, seed }, session) {
      const { inputs, failures } = checkInputs(rules, news, true);
      failures.push(...nameIt(table, urn, inputs, olds, seed), ...crossProblems(table.properties, news));
      if (failures.length === 0)
        failures.push(
          ...broken(type, table, look(empty, wantedOf(inputs)), ["check"], session).map((reason) => ({ property: "", reason })),
        );
      return { inputs, failures: failures.map(({ property, reason }) => ({ property, reason: `${type}: ${reason}` })) };
    },

    async diff({ state, inputs }) {
      const wanted = wantedOf(inputs);
      return decided(type, diffState(rules, state, wanted), state, wanted);
    },

    async create({ inputs, preview }, session) {
      const planned = plannedState(rules, {}, wantedOf(inputs));
      if (preview) {
        const unknown = Object.entries(rules).flatMap(([property, rule]) =>
          (rule.output || rule.computed) && planned[property] === undefined ? [[property, UNKNOWN] as const] : [],
        );
        return { id: "", state: seal({ ...planned, ...Object.fromEntries(unknown) }) };
      }
      const where = whereOf(planned);
      const [thing, fault] = account.change((book): [Thing | undefined, Fault | undefined] => {
        const name = nameOf(planned);
        const struck = strike(book, "create", type, name);
        if (struck?.mode === "fails") return [undefined, struck];
        const twin = taken(book, type, where, planned);
        const problems = broken(type, table, look(book, planned), ["create", "write"], session);
        refuse(type, [...(twin ? [twin] : []), ...dangling(book, type, where, inputs), ...problems]);
        const { id, outputs } = computed(book, type, table, where, planned);
        const made: Thing = { type, id, region: where, state: outputs };
        book.things.push(made);
        bookkeeping(book, made, false);
        return [made, struck];
      });
      if (thing === undefined || fault?.mode === "lost") throw new Error(`${type}: creating ${nameOf(planned)}: InternalFailure`);
      if (fault?.mode === "half" || fault?.mode === "timeout") {
        const why = fault.mode === "half" ? "not ready" : "timeout while waiting for state to become 'available'";
        throw new InitError(`${type}: creating ${nameOf(planned)}: ${why}`, thing.id, seal(thing.state, false));
      }
      return { id: thing.id, state: seal(thing.state) };
    },

    async read({ id, state, inputs }) {
      const thing = find(account.read(), id, state);
      return thing && { state: seal(thing.state), inputs: driftedInputs(rules, inputs, thing.state) };
    },

    async update({ id, state, inputs, preview }, session) {
      const planned = plannedState(rules, state, wantedOf(inputs));
      if (preview) {
        refuse(type, broken(type, table, look(account.read(), planned, state, id), ["update"], session));
        return seal(foreseen(type, planned));
      }
      return seal(
        account.change((book) => {
          const thing = find(book, id, state);
          if (thing === undefined) throw new Error(`${type}: ${id} does not exist`);
          const before = thing.state;
          const fault = strike(book, "update", type, nameOf(planned));
          if (fault) return undefined;
          const problems = broken(type, table, look(book, planned, before, id), ["update", "write"], session);
          refuse(type, [...dangling(book, type, thing.region, inputs), ...problems]);
          thing.state = { ...settled(type, before, planned), tagsAll: planned.tags ?? {} };
          if (table.properties.tagsAll === undefined) delete thing.state.tagsAll;
          bookkeeping(book, thing, false);
          return thing.state;
        }) ?? failUpdate(type, nameOf(planned)),
      );
    },

    async delete({ id, state }, session) {
      account.change((book) => {
        const thing = find(book, id, state);
        if (thing === undefined) return;
        if (strike(book, "delete", type, nameOf(thing.state))) throw new Error(`${type}: deleting ${nameOf(thing.state)}: InternalFailure`);
        const held = holders(book, thing).map(
          (other) => `still used by ${other.type} ${textOf(other.state[TYPES[other.type]?.name ?? ""]) || other.id}`,
        );
        refuse(type, [...broken(type, table, look(book, {}, thing.state, id), ["delete"], session), ...held]);
        book.things = book.things.filter((other) => other !== thing);
        bookkeeping(book, thing, true);
      });
    },
  };
}

function failUpdate(type: string, name: string): never {
  throw new Error(`${type}: changing ${name}: InternalFailure`);
}

/** Rule ids in code that the data does not have: a typing mistake would switch a rule's words off. */
export function unknownRules(types: Readonly<Record<string, ResourceType>>): string[] {
  return Object.entries(CODED).flatMap(([type, coded]) =>
    Object.keys(coded).flatMap((id) => (types[type]?.rules[id] === undefined ? [`${type} ${id}`] : [])),
  );
}
