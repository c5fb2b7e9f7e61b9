/**
 * The Peers pane: every peer's own report, and the links between them. On peers started with --fault-links a link is cut
 * and healed from here: the order goes to the peer whose row is selected, about its link to the peer whose column is.
 */
import type { StatusLink, StatusReport } from "../../protocol/status.ts";
import type { KeyPress } from "../input/keys.ts";
import { pageOf } from "./layout.ts";
import { type Model, type PeerEntry, readOnlyNotice, type Step, step, withNotice } from "./model.ts";
import { charOf, movedTo } from "./movement.ts";

/** Without a name yet: never answered. */
export const nameOf = (entry: PeerEntry): string => (entry.name === "" ? entry.address : entry.name);

export const selectedPeer = (model: Model): PeerEntry | undefined =>
  model.peers[Math.min(model.selectedPeer, model.peers.length - 1)];

export const otherPeers = (model: Model): readonly PeerEntry[] => {
  const from = selectedPeer(model);
  return model.peers.filter((entry) => entry !== from);
};

export const selectedTarget = (model: Model): PeerEntry | undefined => {
  const others = otherPeers(model);
  return others[Math.min(model.selectedLink, others.length - 1)];
};

export const linkTo = (report: StatusReport | undefined, peer: string): StatusLink | undefined =>
  report?.links.find((link) => link.peer === peer);

/** Puts in what a peer says of itself, and makes room for the peers it names. */
export const withReport = (model: Model, address: string, report: StatusReport): Model => {
  const entry: PeerEntry = { address, name: report.peer.name, report, reportAtMs: model.nowMs, silent: undefined };
  return withPeers(model, [entry, ...report.links.map(({ peer, address: at }) => placeOf(peer, at))]);
};

const placeOf = (name: string, address: string): PeerEntry => ({
  address,
  name,
  report: undefined,
  reportAtMs: 0,
  silent: undefined,
});

export const withSilent = (model: Model, name: string, address: string, why: string): Model => {
  const known = withPeers(model, [placeOf(name, address)]);
  const isIt = (entry: PeerEntry): boolean => (name === "" ? entry.address === address : entry.name === name);
  return { ...known, peers: known.peers.map((entry) => (isIt(entry) ? { ...entry, silent: why } : entry)) };
};

/** A name is one peer, whatever addresses it is known by; one with a report outweighs one without. */
const withPeers = (model: Model, entries: readonly PeerEntry[]): Model => {
  let peers = model.peers;
  for (const entry of entries) {
    const known = peers.find(({ name, address }) => address === entry.address || (name !== "" && name === entry.name));
    if (known === undefined) peers = sorted([...peers, entry]);
    else if (entry.report !== undefined) peers = sorted(peers.map((other) => (other === known ? entry : other)));
    else if (known.name === "")
      peers = sorted(peers.map((other) => (other === known ? { ...known, name: entry.name } : other)));
  }
  if (peers === model.peers) return model;
  // The selection stays on its peer when others come in before it.
  const at = peers.findIndex(({ address }) => address === selectedPeer(model)?.address);
  return { ...model, peers, selectedPeer: at < 0 ? model.selectedPeer : at };
};

const sorted = (peers: readonly PeerEntry[]): readonly PeerEntry[] =>
  [...peers].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : 0));

// ---- Keys of the keyboard -------------------------------------------------------------------------------------------------

export const onPeersKey = (model: Model, key: KeyPress): Step => {
  if (key.name === "left" || key.name === "right") {
    const count = otherPeers(model).length;
    const at = Math.min(model.selectedLink, count - 1) + (key.name === "left" ? -1 : 1);
    return step({ ...model, selectedLink: Math.max(0, Math.min(count - 1, at)) });
  }
  switch (charOf(key)) {
    case "c":
      return orderLink(model, "CUT", "BOTH");
    case ">":
      return orderLink(model, "CUT", "SEND");
    case "<":
      return orderLink(model, "CUT", "RECEIVE");
    case "h":
      return orderLink(model, "HEAL", "BOTH");
    default: {
      const selected = movedTo(key, model.selectedPeer, model.peers.length, pageOf(model.size));
      return step(selected === undefined ? model : { ...model, selectedPeer: selected });
    }
  }
};

const orderLink = (model: Model, order: "CUT" | "HEAL", direction: "SEND" | "RECEIVE" | "BOTH"): Step => {
  const from = selectedPeer(model);
  const to = selectedTarget(model);
  if (from === undefined || to === undefined || to.name === "") return step(model);
  if (model.readOnly) return readOnlyNotice(model);
  if (from.report?.faultLinks !== true)
    return step(withNotice(model, `${nameOf(from)} was not started with --fault-links`, "bad"));
  const what = {
    SEND: `${from.name} → ${to.name}`,
    RECEIVE: `${to.name} → ${from.name}`,
    BOTH: `${from.name} - ${to.name}`,
  };
  const done = `${what[direction]} is ${order === "CUT" ? "cut" : "healed"}`;
  // Heal what each side cut: a person who presses heal wants the link back.
  const heals =
    order === "HEAL" && to.report?.faultLinks === true && linkTo(to.report, from.name)?.fault !== "none"
      ? [{ at: to, about: from }]
      : [];
  return step(
    model,
    ...[{ at: from, about: to }, ...heals].map(({ at, about }) => ({
      type: "command" as const,
      words: ["FAULT", "LINK", order, about.name, direction],
      purpose: { kind: "fault" as const, done },
      address: at.address,
    })),
  );
};
