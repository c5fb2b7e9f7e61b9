/**
 * Is this peer's clock to be trusted with stamps? A pure judgement over the offsets measured on its links.
 *
 * Last writer wins by time, so a peer whose clock is far off wins or loses all its conflicts. It warns from 500 ms on;
 * beyond the bound against a majority of all peers, or when its hybrid clock leads real time by more than the bound, it
 * takes no writes. Reads go on. Nothing received is ever dropped for its stamp: that would diverge for ever.
 */
export const skewWarningMs = 500;

export type ClockVerdict = { readonly state: "ok" } | { readonly state: "warning" | "refusing"; readonly why: string };

export const judgeClock = (facts: {
  /** Their wall clock minus ours, per linked peer, where measured. */
  readonly offsetsMs: readonly { readonly peer: string; readonly offsetMs: number }[];
  readonly peersCount: number;
  /** How far the hybrid clock is ahead of real time. */
  readonly aheadMs: number;
  readonly skewMaxMs: number;
}): ClockVerdict => {
  const { offsetsMs, peersCount, aheadMs, skewMaxMs } = facts;
  const majority = Math.floor(peersCount / 2) + 1;
  // We ourselves are one peer; a majority that disagrees with us must be made of others. Of two peers neither is right:
  // both stop, since nothing tells which clock is off.
  const far = offsetsMs.filter(({ offsetMs }) => Math.abs(offsetMs) > skewMaxMs);
  if (far.length > 0 && far.length >= Math.min(majority, peersCount - 1)) {
    const worst = far.reduce((a, b) => (Math.abs(b.offsetMs) > Math.abs(a.offsetMs) ? b : a));
    return {
      state: "refusing",
      why: `this peer's clock is ${Math.round(-worst.offsetMs)} ms off ${worst.peer}'s and beyond ${skewMaxMs} ms against ${far.length} of ${peersCount - 1} others`,
    };
  }
  if (aheadMs > skewMaxMs) {
    return { state: "refusing", why: `stamps here are ${Math.round(aheadMs)} ms ahead of this peer's clock` };
  }
  const warned = offsetsMs.filter(({ offsetMs }) => Math.abs(offsetMs) > skewWarningMs);
  if (warned.length > 0) {
    const worst = warned.reduce((a, b) => (Math.abs(b.offsetMs) > Math.abs(a.offsetMs) ? b : a));
    return { state: "warning", why: `${worst.peer}'s clock is ${Math.round(worst.offsetMs)} ms from this peer's` };
  }
  return { state: "ok" };
};
