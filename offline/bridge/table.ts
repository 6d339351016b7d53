import { autoName, checkInputs, type Failure } from "./check.ts";
import { type Change, diffState, driftedInputs, known, plannedState, settledState, withDefaults } from "./diff.ts";
import { type Handler, InitError, type Session } from "./handler.ts";
import type { Rules } from "./rules.ts";
import { type Props, secret, UNKNOWN } from "./values.ts";

/** A resource type as data: a table of rules, and the few functions that touch the world. */
export interface Definition {
  readonly rules: Rules;
  /** What the real provider notes in a state about its format, so that either reads the other's. */
  readonly meta: Props;
  /** The real provider is of the newer kind, which keeps its defaults out of the inputs. */
  readonly framework?: boolean;
  /** A resource without a name gets one. */
  readonly named?: boolean;
  readonly deleteBeforeReplace?: boolean;
  /** Problems that no single rule can see. */
  validate?(wanted: Props): Failure[];
  /** Sets values that follow from others, before anything is compared. */
  complete?(wanted: Props): void;
  /** Reasons to replace or update that do not lie in the inputs. */
  drift?(state: Props, wanted: Props): Change[];
  /** @returns the id and what was observed; what was wanted is added by the caller. */
  create(wanted: Props, session: Session): Promise<{ id: string; outputs: Props }>;
  /** @returns what was observed, or undefined when the real thing is gone. Without it, the state is taken as it is. */
  read?(id: string, state: Props): Promise<Props | undefined>;
  /** Carries out an update in place. */
  update?(id: string, state: Props, planned: Props): Promise<void>;
  delete?(id: string, state: Props): Promise<void>;
}

/** Builds a handler that behaves as Pulumi's Terraform bridge does for a schema like the definition's table. */
export function tableHandler(definition: Definition): Handler {
  const { rules } = definition;
  const meta = JSON.stringify(definition.meta);
  const fill = definition.framework !== true;

  const wantedOf = (inputs: Props): Props => {
    const wanted = withDefaults(rules, inputs);
    definition.complete?.(wanted);
    return wanted;
  };

  const seal = (state: Props, finished = true): Props => {
    const sealed: Props = { __meta: meta };
    for (const [property, value] of Object.entries(fill ? settledState(rules, state, finished) : known(rules, state))) {
      sealed[property] = rules[property]?.secret ? secret(value) : value;
    }
    return sealed;
  };

  const preview = (planned: Props): Props => {
    const state: Props = { ...planned };
    for (const [property, rule] of Object.entries(rules)) {
      if ((rule.output || rule.computed) && state[property] === undefined) state[property] = UNKNOWN;
    }
    return seal(state);
  };

  return {
    deleteBeforeReplace: definition.deleteBeforeReplace ?? false,

    async check({ urn, olds, news, seed }) {
      const { inputs, failures } = checkInputs(rules, news, fill);
      if (definition.named) autoName(urn, inputs, olds, seed);
      if (failures.length === 0) failures.push(...(definition.validate?.(wantedOf(inputs)) ?? []));
      return { inputs, failures };
    },

    async diff({ state, inputs }) {
      const wanted = wantedOf(inputs);
      return [...diffState(rules, state, wanted), ...(definition.drift?.(state, wanted) ?? [])];
    },

    async create({ inputs, preview: dry }, session) {
      const planned = plannedState(rules, {}, wantedOf(inputs));
      if (dry) return { id: "", state: preview(planned) };
      try {
        const { id, outputs } = await definition.create(planned, session);
        return { id, state: seal({ ...planned, ...outputs }) };
      } catch (error) {
        if (error instanceof InitError) throw new InitError(error.message, error.id, seal({ ...planned, ...error.state }, false));
        throw error;
      }
    },

    async read({ id, state, inputs }) {
      const found = definition.read === undefined ? {} : await definition.read(id, state);
      if (found === undefined) return undefined;
      const now = { ...state, ...found };
      return { state: seal(now), inputs: driftedInputs(rules, inputs, now) };
    },

    async update({ id, state, inputs, preview: dry }) {
      const planned = plannedState(rules, state, wantedOf(inputs));
      if (!dry) await definition.update?.(id, state, planned);
      return seal(planned);
    },

    async delete({ id, state }) {
      await definition.delete?.(id, state);
    },
  };
}
