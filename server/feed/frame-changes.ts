/**
 * From a frame of the log to the changes it made visible.
 *
 * A change is an op that won: last-writer-wins lets some lose on arrival, and a reader that mirrors the feed must not be
 * shown those. Whether an op won is seen from the cell as it is now and from what was handed out before: the cell shows
 * the op, then it won; the cell shows another, which came earlier in this history, then that one had beaten it; the cell
 * shows another that is still to come, then it will be handed out too, so the last change handed out of a key is always
 * the one its cell shows. (An op that lost to a write which was itself displaced since may be handed out in a replay: the
 * displacing one follows.)
 *
 * The same rule serves live frames, at the end of the turn that applied them, and frames read back from the log.
 */
import { type FrameHeader, FrameOps, opKind } from "../../protocol/frames.ts";
import type { OriginId } from "../../protocol/words.ts";
import type { Replica } from "../replica/index.ts";
import type { Change } from "./change.ts";

/** How far a reader of the log has come: per origin the highest seq it was handed, or knew before. */
export type Progress = Map<OriginId, number>;

/** Appends the frame's changes and moves `progress` to its end. Ops that `progress` covers were seen. */
export const takeFrame = (
  replica: Replica,
  frame: FrameHeader,
  progress: Progress,
  changes: Change[],
  wants: (key: string) => boolean,
  nowMs: number,
): void => {
  const { map, origins } = replica.state;
  const { origin } = frame;
  const seenSeq = progress.get(origin) ?? 0;
  if (frame.last <= seenSeq) return;
  const ops = new FrameOps(frame);
  while (ops.next()) {
    if (ops.seq <= seenSeq || !wants(ops.key)) continue;
    const { key, seq, stamp, expiresAtMs } = ops;
    if (ops.kind === opKind.incr) {
      const value = replica.keyspace.getAt(key, nowMs);
      changes.push({ type: "increment", key, value, expiresAtMs, origin, seq, stamp });
      continue;
    }
    const ref = map.locate(key);
    if (ref >= 0 && map.baseAt(ref) !== undefined) {
      const shown = origins.id(map.originAt(ref));
      const shownSeq = map.seqAt(ref);
      const isShown = shown === origin && shownSeq === seq;
      if (!isShown && shownSeq <= (progress.get(shown) ?? 0)) continue;
    }
    const isSet = ops.kind === opKind.set;
    const type = isSet ? "set" : "delete";
    changes.push({ type, key, value: isSet ? ops.value : undefined, expiresAtMs, origin, seq, stamp });
  }
  progress.set(origin, frame.last);
};
