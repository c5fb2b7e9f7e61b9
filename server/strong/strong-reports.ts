/** What strong keys tell operators: their part of `/status`, alarms, and log lines when a disk comes or goes. */
import type { StatusStrong } from "../../protocol/status.ts";
import type { Logger } from "../logger.ts";
import type { StrongKeys } from "./strong-keys.ts";

export const strongStatus = (strong: StrongKeys): StatusStrong => {
  const { prefixes, standing, keyCount, bytes, quorum, reachable, answering, waitingCount, status } = strong;
  const { registers, leases, pendingRounds, readmission } = status;
  return {
    prefixes,
    standing,
    keys: keyCount,
    registers,
    bytes,
    leases,
    waiting: waitingCount,
    pendingRounds,
    quorum,
    reachable,
    answering,
    readmission: readmission ?? null,
  };
};

const lostWords =
  "the strong keys of this disk are lost, so it takes no part in their majorities; with a majority of the others up, start it once with --readmit-registers";

/** `peersCount`: of the cluster. */
export const strongAlarms = (
  strong: Pick<StrongKeys, "standing" | "quorum" | "answering">,
  peersCount: number,
): readonly string[] => {
  const { standing, quorum, answering } = strong;
  const alarms: string[] = [];
  if (standing === "lost") alarms.push(lostWords);
  if (answering < quorum) {
    const why = standing === "new" ? "; a new disk is let in once every peer was met" : "";
    alarms.push(
      `no majority for strong keys: of ${peersCount} peers ${answering} are reached and answer, ${quorum} are needed${why}`,
    );
  }
  return alarms;
};

type Standing = StrongKeys["standing"];

export const logStanding = (logger: Logger, standing: Standing, before: Standing | undefined): void => {
  if (standing === "lost") logger.error(lostWords);
  else if (standing === "readmitting") logger.warn("strong keys: copying what a majority of the others holds");
  // At a start from its own disk there is nothing to tell.
  else if (standing === "admitted" && before !== undefined) {
    const how = before === "new" ? "every peer was new" : "what the others hold is copied";
    logger.info(`strong keys: this peer takes part in their majorities (${how})`);
  }
};
