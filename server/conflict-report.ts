/** A conflict as commands and clients see it. */
import type { ConflictReport } from "./commands/session.ts";
import { type Conflict, stampToMs } from "./replica/index.ts";

export const conflictReport = (conflict: Conflict): ConflictReport => {
  const side = ({ value, dot, stamp }: Conflict["winner"]): ConflictReport["winner"] => ({
    value,
    dot,
    stampMs: stampToMs(stamp),
    origin: dot.slice(0, dot.lastIndexOf(":")),
  });
  return {
    id: conflict.id,
    key: conflict.key,
    atMs: stampToMs(conflict.loser.stamp),
    winner: side(conflict.winner),
    loser: side(conflict.loser),
    why: conflict.why,
    restored: conflict.restored,
  };
};
