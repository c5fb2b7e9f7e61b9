/** FAULT LINK over the fault seam of the links: words of the wire here, directions there. */
import type { LinkFault } from "../protocol/status.ts";
import type { PeerName } from "../protocol/words.ts";
import type { LinkFaultControl } from "./commands/session.ts";
import type { FaultDirection, LinkFaults } from "./links/index.ts";

const directions = { send: "out", receive: "in", both: "both" } as const satisfies Record<string, FaultDirection>;
const words = { out: "send", in: "receive", both: "both" } as const satisfies Record<FaultDirection, LinkFault>;

export const linkFaultOf = (cut: FaultDirection | undefined): LinkFault => (cut === undefined ? "none" : words[cut]);

export const linkFaultControl = (options: {
  readonly faults: LinkFaults;
  readonly others: readonly PeerName[];
  /** For the log: somebody cut or healed. */
  readonly onChange: (peer: PeerName, fault: LinkFault) => void;
}): LinkFaultControl => {
  const { faults, others, onChange } = options;
  const change = (text: string, act: (peer: PeerName) => void): boolean => {
    const peer = others.find((name) => name === text);
    if (peer === undefined) return false;
    act(peer);
    onChange(peer, linkFaultOf(faults.cutOf(peer)));
    return true;
  };
  return {
    cut: (text, what) => change(text, (peer) => faults.cut(peer, directions[what])),
    heal: (text, what) => change(text, (peer) => faults.heal(peer, directions[what])),
    list: () => new Map(others.map((peer) => [peer, linkFaultOf(faults.cutOf(peer))])),
  };
};
