/** Our own mistake: these registers must not go on with bad state. Never thrown for what a peer or a client sent. */
export class InvariantError extends Error {
  constructor(rule: string) {
    super(`invariant broken: ${rule}`);
    this.name = "InvariantError";
  }
}

export function invariant(holds: boolean, rule: string): asserts holds {
  if (!holds) throw new InvariantError(rule);
}
