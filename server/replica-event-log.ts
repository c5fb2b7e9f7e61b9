/** What the replica told, in words for the operator's log. What a peer does about it is in peer.ts. */
import type { Logger } from "./logger.ts";
import type { ReplicaEvent } from "./replica/index.ts";

/** A fatal one is logged by whoever ends the peer for it. */
export const logReplicaEvent = (logger: Logger, event: Exclude<ReplicaEvent, { readonly type: "fatal" }>): void => {
  switch (event.type) {
    case "caught-up":
      return logger.info({ frames: event.frames, ops: event.ops }, `sent ${event.peer} what it lacked`);
    case "transfer-started":
      return logger.info(
        { full: event.full },
        event.outgoing ? `state transfer to ${event.peer} begins` : `state transfer from ${event.peer} begins`,
      );
    case "transfer-installed":
      return logger.info(
        { cells: event.cells, dropped: event.dropped, full: event.full },
        `state transfer from ${event.peer} installed`,
      );
    case "gate-opened":
      return logger.info(`takes clients now: ${event.why}`);
    case "stream-paused":
      return logger.error(
        { aheadMs: Math.round(event.aheadMs) },
        `writes of ${event.origin} are stamped too far ahead of real time: they wait`,
      );
    case "digest-mismatch":
      return logger.error(
        `digest differs from ${event.peer}'s at equal version vectors: repairing (see DIFF ${event.peer})`,
      );
    case "repaired":
      return logger.warn({ keys: event.keys }, `repaired from ${event.peer}`);
    default:
      return event satisfies never;
  }
};
