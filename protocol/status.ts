/**
 * What `GET /status` answers: one peer's view of itself and of its links, as JSON.
 *
 * `chorus status` prints it, tests wait on it, people read it with curl. Fields are only ever added within a format;
 * a reader refuses a format it does not know. Numbers are in the unit their name says; versions and seqs are integers.
 */

export const statusFormat = 1;

export interface StatusReport {
  readonly format: typeof statusFormat;
  readonly peer: {
    readonly name: string;
    readonly incarnation: string;
    readonly cluster: string;
    readonly version: string;
    readonly pid: number;
    readonly uptimeSeconds: number;
    readonly tcpPort: number;
    readonly httpPort: number;
  };
  /** Takes reads and writes. */
  readonly ready: boolean;
  /** Refuses writes until it has caught up after it lost data. */
  readonly gated: boolean;
  /** Refuses everything: reading its data, or installing a transfer. */
  readonly loading: boolean;
  /** Why it is not ready, each a phrase for a person; empty when it is. */
  readonly reasons: readonly string[];
  readonly keys: number;
  readonly tombstones: {
    readonly count: number;
    readonly bytes: number;
    /** Peers whose missing fact holds purging back. */
    readonly heldBy: readonly string[];
  };
  readonly conflicts: { readonly kept: number; readonly dropped: number };
  readonly digest: {
    /** Hex. Equal version vectors and horizons imply equal values. */
    readonly value: string;
    /** Unix ms: cells expired by then are not counted. */
    readonly horizon: number;
  };
  /** Applied, per origin that wrote something. */
  readonly versionVector: Readonly<Record<string, number>>;
  readonly links: readonly StatusLink[];
  readonly log: {
    readonly bytes: number;
    readonly firstLsn: number;
    readonly nextLsn: number;
    readonly syncedLsn: number;
  };
  readonly checkpoint: {
    /** The log from here on is replayed at a restart. */
    readonly lsn: number;
    readonly bytes: number;
    /** Seconds since the last one finished; null before the first. */
    readonly ageSeconds: number | null;
    readonly running: boolean;
  };
  readonly memory: {
    /** As counted against `--max-memory`. */
    readonly usedBytes: number;
    readonly rssBytes: number;
    /** 0: no limit. */
    readonly maxBytes: number;
  };
  readonly opsPerSecond: number;
  /**
   * Of commands over the last 10 s, from the turn that read them until their replies went, the waits of --fsync and
   * --acks among it. null: there were none. Percentiles are at most a fifth too high.
   */
  readonly latency: {
    readonly p50Ms: number | null;
    readonly p99Ms: number | null;
    readonly maxMs: number | null;
    readonly count: number;
  };
  /** Connected now; `blocked`: in WAIT; `watches`: readers of the feed of changes. */
  readonly clients: {
    readonly tcp: number;
    readonly webSocket: number;
    readonly blocked: number;
    readonly watches: number;
  };
  readonly strong: StatusStrong;
  /** All peers of the cluster as configured, this one among them: `host:port` of their HTTP ports. */
  readonly peers: readonly { readonly name: string; readonly address: string }[];
  readonly clock: { readonly skewState: "ok" | "warning" | "refusing" };
  /** Started with --fault-links: FAULT LINK is allowed. */
  readonly faultLinks: boolean;
  /** What an operator should look at, each a phrase. */
  readonly alarms: readonly string[];
}

/** Strong keys, as this peer has them and sees their majority. */
export interface StatusStrong {
  /** Keys that begin with one of these are strong; the same at all peers. */
  readonly prefixes: readonly string[];
  /**
   * Whether this disk answers for registers. `new`: it waits to meet all others. `lost`: others hold registers and this
   * disk none it may trust; an operator readmits it.
   */
  readonly standing: "admitted" | "new" | "lost" | "readmitting";
  /** That have a value, at this peer: may lag behind. */
  readonly keys: number;
  /** Held, those deleted and not yet purged among them. */
  readonly registers: number;
  readonly bytes: number;
  /** Keys with a time to live that this peer watches. */
  readonly leases: number;
  /** Operations of this peer's clients that are under way, and the rounds made for them. */
  readonly waiting: number;
  readonly pendingRounds: number;
  /** Peers that make a majority; those linked to this one, itself among them; of these, those that answer. */
  readonly quorum: number;
  readonly reachable: number;
  readonly answering: number;
  /** null: none is under way. */
  readonly readmission: {
    /** Others that have left the epoch of the lost disk, and of these those that listed all their keys. */
    readonly raised: number;
    readonly listed: number;
    /** Keys listed and not copied yet. */
    readonly unread: number;
  } | null;
}

/** What of a link is cut on purpose (FAULT LINK), as the peer that answers sees it. */
export type LinkFault = "none" | "send" | "receive" | "both";

/**
 * Whether its map and this one's are equal. `identical` and `different` speak of digests taken at equal vectors;
 * `not-compared`: equal vectors, no digest yet.
 */
export type LinkVerdict = "identical" | "different" | "syncing" | "not-compared" | "no-link";

export interface StatusLink {
  readonly peer: string;
  /** `up`, `connecting`, `catching-up`, `transfer`, `down`. */
  readonly state: string;
  readonly address: string;
  readonly rttMs: number | null;
  /** Their wall clock minus ours. */
  readonly clockOffsetMs: number | null;
  /** Ops this peer has that the other is not known to have. */
  readonly lagOps: number;
  /** How long it has lacked the oldest of this peer's own writes that it lacks; null: it lacks only those of others. */
  readonly lagMs: number | null;
  /** Ops it told of that this peer has yet to get. */
  readonly behindOps: number;
  readonly verdict: LinkVerdict;
  /** The run of that peer known here; empty when none is. */
  readonly incarnation: string;
  /** Takes no clients until it has caught up. */
  readonly gated: boolean;
  readonly queuedBytes: number;
  /** Tombstones that cannot be purged for want of this peer's fact. */
  readonly tombstonesHeld: number;
  /** Why it is not up; empty when it is. */
  readonly why: string;
  readonly fault: LinkFault;
}

/** By dotted path: what a reader relies on. The CLI reads strangers' ports, so it checks what it prints. */
const shape: readonly (readonly [path: string, type: "string" | "number" | "boolean" | "array" | "object"])[] = [
  ["peer.name", "string"],
  ["peer.incarnation", "string"],
  ["peer.cluster", "string"],
  ["peer.version", "string"],
  ["peer.pid", "number"],
  ["peer.uptimeSeconds", "number"],
  ["peer.tcpPort", "number"],
  ["peer.httpPort", "number"],
  ["ready", "boolean"],
  ["gated", "boolean"],
  ["loading", "boolean"],
  ["reasons", "array"],
  ["keys", "number"],
  ["tombstones.count", "number"],
  ["tombstones.bytes", "number"],
  ["tombstones.heldBy", "array"],
  ["conflicts.kept", "number"],
  ["conflicts.dropped", "number"],
  ["digest.value", "string"],
  ["digest.horizon", "number"],
  ["versionVector", "object"],
  ["links", "array"],
  ["log.bytes", "number"],
  ["log.syncedLsn", "number"],
  ["checkpoint.lsn", "number"],
  ["memory.usedBytes", "number"],
  ["memory.rssBytes", "number"],
  ["memory.maxBytes", "number"],
  ["opsPerSecond", "number"],
  ["latency.count", "number"],
  ["clients.tcp", "number"],
  ["clients.webSocket", "number"],
  ["strong.prefixes", "array"],
  ["strong.standing", "string"],
  ["strong.keys", "number"],
  ["strong.waiting", "number"],
  ["strong.pendingRounds", "number"],
  ["strong.quorum", "number"],
  ["strong.reachable", "number"],
  ["strong.answering", "number"],
  ["peers", "array"],
  ["clock.skewState", "string"],
  ["alarms", "array"],
];

const linkShape: typeof shape = [
  ["peer", "string"],
  ["state", "string"],
  ["lagOps", "number"],
  ["behindOps", "number"],
  ["verdict", "string"],
  ["queuedBytes", "number"],
];

const peerShape: typeof shape = [
  ["name", "string"],
  ["address", "string"],
];

const typeOf = (value: unknown): string => (Array.isArray(value) ? "array" : value === null ? "null" : typeof value);

const at = (value: unknown, path: string): unknown =>
  path
    .split(".")
    .reduce<unknown>(
      (part, name) => (typeOf(part) === "object" ? (part as Record<string, unknown>)[name] : undefined),
      value,
    );

const misfit = (value: unknown, fields: typeof shape): string | undefined => {
  for (const [path, type] of fields) if (typeOf(at(value, path)) !== type) return `${path} is not a ${type}`;
  return undefined;
};

export type ParsedStatus =
  | { readonly ok: true; readonly status: StatusReport }
  | { readonly ok: false; readonly why: string };

export const parseStatus = (value: unknown): ParsedStatus => {
  const refuse = (why: string): ParsedStatus => ({ ok: false, why });
  if (typeOf(value) !== "object") return refuse("not a status report");
  const format = at(value, "format");
  if (format !== statusFormat)
    return refuse(`status format ${JSON.stringify(format)}, this chorus reads ${statusFormat}`);
  const wrong = misfit(value, shape);
  if (wrong !== undefined) return refuse(wrong);
  // Every field a reader uses was checked just above; the lists below complete it.
  const status = value as StatusReport;
  for (const seq of Object.values(status.versionVector))
    if (!Number.isSafeInteger(seq)) return refuse("versionVector holds a non-integer");
  for (const link of status.links) {
    const wrongLink = misfit(link, linkShape);
    if (wrongLink !== undefined) return refuse(`a link's ${wrongLink}`);
  }
  for (const peer of status.peers) {
    const wrongPeer = misfit(peer, peerShape);
    if (wrongPeer !== undefined) return refuse(`a peer's ${wrongPeer}`);
  }
  for (const words of [status.reasons, status.alarms, status.tombstones.heldBy, status.strong.prefixes])
    if (words.some((word) => typeof word !== "string")) return refuse("a list of words holds something else");
  return { ok: true, status };
};
