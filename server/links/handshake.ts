/**
 * The handshake between two peers as two state machines without sockets, clocks or randomness: a message in, a step out.
 *
 * With a secret both ends prove that they know it before anything they say is believed. Each mac is HMAC-SHA256, keyed
 * with the secret, over these lines (UTF-8, joined by a line feed, none at the end):
 *
 *     chorus-peer, protocol version, label, cluster id, dialer's name, listener's name,
 *     dialer's incarnation, listener's incarnation, dialer's nonce, listener's nonce, peer names joined by commas
 *
 * The label is `listener` in a challenge and `dialer` in a proof, so that neither end can be made to answer for the
 * other; in a refusal it is `refuse-by-dialer CODE NEWEST` or `refuse-by-listener CODE NEWEST` (NEWEST `-` if none).
 * Both nonces are fresh, so nothing can be played back. Two secrets are accepted while one replaces the other.
 *
 * Without a secret the same messages go without macs: that finds mistakes, not enemies. A peer with a secret refuses
 * one without, and the reverse. Without TLS a secret authenticates the start of a link only; the wire is readable.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import {
  type Challenge,
  formatHandshakeMessage,
  type Hello,
  parseHandshakeMessage,
  protocolVersion,
  type RefusalCode,
  type Refuse,
} from "../../protocol/messages.ts";
import type { Incarnation, PeerName } from "../../protocol/words.ts";
import type { Refusal } from "./incarnations.ts";

/** What this peer says of itself, and what it expects of others. */
export interface HandshakeIdentity {
  readonly name: PeerName;
  readonly incarnation: Incarnation;
  readonly clusterId: string;
  /** All peers, this one among them, sorted byte-wise. */
  readonly peers: readonly PeerName[];
  /** Keys that begin so are strong: sorted. */
  readonly strongPrefixes: readonly string[];
  /** None, one or two; the first is the preferred one. */
  readonly secrets: readonly Buffer[];
}

/** Asked once the other end is authenticated: may this run of it be linked? */
export type Admission = (name: PeerName, incarnation: Incarnation) => Refusal | undefined;

export interface Refused extends Refusal {
  readonly by: "us" | "them";
  /** The other end's name, once it claimed one of the peer list. */
  readonly peer: PeerName | undefined;
}

export type HandshakeStep =
  | { readonly type: "continue"; readonly send: string }
  | { readonly type: "accepted"; readonly send?: string; readonly peer: PeerName; readonly incarnation: Incarnation }
  /** `send`, if any, goes out before the socket is closed. */
  | { readonly type: "refused"; readonly send?: string; readonly refused: Refused };

export interface Handshake {
  readonly role: "dialer" | "listener";
  /** Known from the start by a dialer; by a listener from the hello on. */
  readonly peer: PeerName | undefined;
  /** After a step that is not `continue` this must not be called again. */
  receive(text: string): HandshakeStep;
  /** Refuses whatever comes next, such as a binary message. */
  refuse(code: RefusalCode, message: string): HandshakeStep;
}

/** The end that opened the connection: the peer with the smaller name. */
export class DialerHandshake implements Handshake {
  readonly role = "dialer";
  readonly peer: PeerName;
  readonly #identity: HandshakeIdentity;
  readonly #admit: Admission;
  readonly #hello: Hello;
  #challenge: Challenge | undefined;

  /** `nonce`: 32 fresh random bytes. */
  constructor(options: { identity: HandshakeIdentity; peer: PeerName; nonce: Buffer; admit: Admission }) {
    this.#identity = options.identity;
    this.peer = options.peer;
    this.#admit = options.admit;
    const { name, incarnation, clusterId, peers, secrets, strongPrefixes } = options.identity;
    this.#hello = {
      type: "hello",
      protocolVersion,
      clusterId,
      name,
      incarnation,
      nonce: options.nonce.toString("hex"),
      peers: [...peers],
      auth: secrets.length > 0 ? "secret" : "none",
      strongPrefixes: [...strongPrefixes],
    };
  }

  /** The first message. */
  open(): string {
    return formatHandshakeMessage(this.#hello);
  }

  receive(text: string): HandshakeStep {
    const parsed = parseHandshakeMessage(text);
    if (!parsed.ok) return this.refuse(parsed.code, parsed.why);
    const message = parsed.message;
    if (message.type === "refuse") return this.#onRefuse(message);
    if (message.type === "challenge" && this.#challenge === undefined) return this.#onChallenge(message);
    if (message.type === "accept" && this.#challenge !== undefined) {
      return { type: "accepted", peer: this.peer, incarnation: this.#challenge.incarnation };
    }
    return this.refuse("BAD_MESSAGE", `${message.type} out of order`);
  }

  refuse(code: RefusalCode, message: string): HandshakeStep {
    return refusedByUs(this.peer, { code, message }, undefined);
  }

  #onRefuse(refuse: Refuse): HandshakeStep {
    const challenge = this.#challenge;
    const secrets = this.#identity.secrets;
    const sealed = challenge !== undefined && isSealed(refuse, secrets, this.#transcript(challenge), "listener");
    return refusedByThem(this.peer, refuse, sealed || secrets.length === 0);
  }

  #onChallenge(challenge: Challenge): HandshakeStep {
    const { name, incarnation, clusterId, secrets } = this.#identity;
    if (challenge.name === name) {
      return challenge.incarnation === incarnation
        ? this.refuse("WRONG_PEER", `the address given for ${this.peer} is this peer's own`)
        : this.refuse("NAME_TAKEN", `another live process at the address of ${this.peer} is called ${name}`);
    }
    if (challenge.name !== this.peer) {
      return this.refuse("WRONG_PEER", `the address given for ${this.peer} is that of ${challenge.name}`);
    }
    if (challenge.clusterId !== clusterId) return this.refuse("WRONG_CLUSTER", differentCluster(challenge, clusterId));
    const transcript = this.#transcript(challenge);
    let secret: Buffer | undefined;
    if (secrets.length > 0) {
      if (challenge.macs.length === 0) return this.refuse("SECRET_MISSING", secretMissing(this.peer));
      secret = secrets.find((s) => challenge.macs.some((mac) => isMac(mac, s, transcript("listener"))));
      if (secret === undefined) return this.refuse("WRONG_SECRET", `${this.peer} does not know the secret`);
    } else if (challenge.macs.length > 0) {
      return this.refuse("SECRET_UNEXPECTED", secretUnexpected(this.peer));
    }
    this.#challenge = challenge;
    const refusal = this.#admit(this.peer, challenge.incarnation);
    if (refusal !== undefined) {
      return refusedByUs(this.peer, refusal, sealOf(refusal, secret, transcript, "dialer"));
    }
    const mac = secret === undefined ? undefined : macOf(secret, transcript("dialer"));
    return { type: "continue", send: formatHandshakeMessage({ type: "proof", mac }) };
  }

  #transcript(challenge: Challenge): Transcript {
    return transcriptOf(this.#identity, this.#hello, challenge);
  }
}

/** The end that was connected to: the peer with the greater name. */
export class ListenerHandshake implements Handshake {
  readonly role = "listener";
  readonly #identity: HandshakeIdentity;
  readonly #admit: Admission;
  readonly #nonce: Buffer;
  #peer: PeerName | undefined;
  #begun: { readonly hello: Hello; readonly challenge: Challenge } | undefined;

  /** `nonce`: 32 fresh random bytes. */
  constructor(options: { identity: HandshakeIdentity; nonce: Buffer; admit: Admission }) {
    this.#identity = options.identity;
    this.#nonce = options.nonce;
    this.#admit = options.admit;
  }

  get peer(): PeerName | undefined {
    return this.#peer;
  }

  receive(text: string): HandshakeStep {
    const parsed = parseHandshakeMessage(text);
    if (!parsed.ok) return this.refuse(parsed.code, parsed.why);
    const message = parsed.message;
    if (message.type === "refuse") return this.#onRefuse(message);
    if (message.type === "hello" && this.#begun === undefined) return this.#onHello(message);
    if (message.type === "proof" && this.#begun !== undefined) {
      return this.#onProof(message.mac, this.#begun.hello, this.#begun.challenge);
    }
    return this.refuse("BAD_MESSAGE", `${message.type} out of order`);
  }

  refuse(code: RefusalCode, message: string): HandshakeStep {
    return refusedByUs(this.#peer, { code, message }, undefined);
  }

  #onRefuse(refuse: Refuse): HandshakeStep {
    const secrets = this.#identity.secrets;
    const begun = this.#begun;
    const sealed =
      begun !== undefined &&
      isSealed(refuse, secrets, transcriptOf(this.#identity, begun.hello, begun.challenge), "dialer");
    return refusedByThem(this.#peer, refuse, sealed || secrets.length === 0);
  }

  #onHello(hello: Hello): HandshakeStep {
    const { name, incarnation, clusterId, peers, secrets } = this.#identity;
    if (hello.clusterId !== clusterId) return this.refuse("WRONG_CLUSTER", differentCluster(hello, clusterId));
    if (hello.name === name) {
      return hello.incarnation === incarnation
        ? this.refuse("WRONG_PEER", `${name} dialed itself: its address is listed for another peer`)
        : this.refuse("NAME_TAKEN", `another live process is called ${name}: stop one of them`);
    }
    if (!peers.includes(hello.name)) {
      return this.refuse("UNKNOWN_PEER", `${hello.name} is not in the peer list of ${name} (${peers.join(" ")})`);
    }
    this.#peer = hello.name;
    if (hello.peers.join() !== peers.join()) {
      const message = `peer lists differ: ${hello.name} has ${hello.peers.join(" ")}; ${name} has ${peers.join(" ")}`;
      return this.refuse("PEERS_DIFFER", message);
    }
    const { strongPrefixes } = this.#identity;
    if (hello.strongPrefixes.join() !== strongPrefixes.join()) {
      const message = `prefixes of strong keys differ: ${hello.name} has ${hello.strongPrefixes.join(" ")}; ${name} has ${strongPrefixes.join(" ")}`;
      return this.refuse("STRONG_PREFIXES_DIFFER", message);
    }
    if (hello.name > name) return this.refuse("WRONG_PEER", `${name} dials ${hello.name}, not the reverse`);
    if (secrets.length > 0 && hello.auth === "none") return this.refuse("SECRET_MISSING", secretMissing(hello.name));
    if (secrets.length === 0 && hello.auth === "secret") {
      return this.refuse("SECRET_UNEXPECTED", secretUnexpected(hello.name));
    }
    const challenge: Challenge = {
      type: "challenge",
      protocolVersion,
      clusterId,
      name,
      incarnation,
      nonce: this.#nonce.toString("hex"),
      macs: [],
    };
    const transcript = transcriptOf(this.#identity, hello, challenge);
    challenge.macs = secrets.map((secret) => macOf(secret, transcript("listener")));
    this.#begun = { hello, challenge };
    return { type: "continue", send: formatHandshakeMessage(challenge) };
  }

  #onProof(mac: string | undefined, hello: Hello, challenge: Challenge): HandshakeStep {
    const secrets = this.#identity.secrets;
    const transcript = transcriptOf(this.#identity, hello, challenge);
    const secret = mac === undefined ? undefined : secrets.find((s) => isMac(mac, s, transcript("dialer")));
    if (secrets.length > 0 && secret === undefined) {
      return this.refuse("WRONG_SECRET", `${hello.name} does not know the secret`);
    }
    const refusal = this.#admit(hello.name, hello.incarnation);
    if (refusal !== undefined) {
      return refusedByUs(hello.name, refusal, sealOf(refusal, secret, transcript, "listener"));
    }
    const send = formatHandshakeMessage({ type: "accept" });
    return { type: "accepted", send, peer: hello.name, incarnation: hello.incarnation };
  }
}

/** The id of a cluster that was given none: peers with other peers listed are of another cluster. */
export const clusterIdOf = (peers: readonly PeerName[]): string =>
  createHash("sha256")
    .update([...peers].sort().join("\n"))
    .digest("hex")
    .slice(0, 16);

const secretBytesMin = 16;

/**
 * The text of a secret file: one or two lines, the preferred secret first. To change a secret, put the new line above
 * the old one at each peer in turn, then remove the old line at each. Throws a RangeError that says what is wrong and
 * never quotes a secret.
 */
export const parseSecrets = (text: string): readonly Buffer[] => {
  const lines = text.split("\n").map((line) => line.trim());
  const secrets = lines.filter((line) => line !== "").map((line) => Buffer.from(line, "utf8"));
  if (secrets.length === 0) throw new RangeError("the secret file is empty");
  if (secrets.length > 2) throw new RangeError(`the secret file has ${secrets.length} lines, limit 2`);
  for (const secret of secrets) {
    if (secret.length < secretBytesMin) {
      throw new RangeError(`a secret of ${secret.length} bytes is too short, at least ${secretBytesMin} are needed`);
    }
  }
  return secrets;
};

// ---- What is said ---------------------------------------------------------------------------------------------------

const differentCluster = (theirs: { readonly name: PeerName; readonly clusterId: string }, ours: string): string =>
  `${theirs.name} is of cluster ${theirs.clusterId}, this peer of ${ours}`;
const secretMissing = (peer: PeerName): string =>
  `${peer} has no peer secret and this peer has one: give both the same --secret-file`;
const secretUnexpected = (peer: PeerName): string =>
  `${peer} has a peer secret and this peer has none: give both the same --secret-file`;

const refusedByUs = (peer: PeerName | undefined, refusal: Refusal, mac: string | undefined): HandshakeStep => {
  const { code, message, newest } = refusal;
  const send = formatHandshakeMessage({ type: "refuse", code, message: message.slice(0, 1024), newest, mac });
  return { type: "refused", send, refused: { ...refusal, by: "us", peer } };
};

const knownCodes: ReadonlySet<string> = new Set<RefusalCode>([
  "BAD_MESSAGE",
  "UNKNOWN_VERSION",
  "WRONG_CLUSTER",
  "UNKNOWN_PEER",
  "PEERS_DIFFER",
  "STRONG_PREFIXES_DIFFER",
  "WRONG_PEER",
  "SECRET_MISSING",
  "SECRET_UNEXPECTED",
  "WRONG_SECRET",
  "NAME_TAKEN",
  "STALE_INCARNATION",
]);

/** `believed`: it came from a peer that proved the secret, or there is none to prove. */
const refusedByThem = (peer: PeerName | undefined, refuse: Refuse, believed: boolean): HandshakeStep => {
  // The cast holds: the code was just found in the set of all of them.
  const code = knownCodes.has(refuse.code) ? (refuse.code as RefusalCode) : "BAD_MESSAGE";
  const newest = believed && refuse.newest !== undefined ? { newest: refuse.newest } : {};
  return { type: "refused", refused: { code, message: refuse.message, by: "them", peer, ...newest } };
};

// ---- What is proven -------------------------------------------------------------------------------------------------

/** The text a mac is made over, for one label. */
type Transcript = (label: string) => string;

const transcriptOf =
  (identity: HandshakeIdentity, hello: Hello, challenge: Challenge): Transcript =>
  (label) =>
    [
      "chorus-peer",
      protocolVersion,
      label,
      identity.clusterId,
      hello.name,
      challenge.name,
      hello.incarnation,
      challenge.incarnation,
      hello.nonce,
      challenge.nonce,
      identity.peers.join(","),
    ].join("\n");

const macOf = (secret: Buffer, text: string): string => createHmac("sha256", secret).update(text).digest("hex");

/** In a time that does not depend on where they differ. `mac` is 64 hex digits: the parser saw to that. */
const isMac = (mac: string, secret: Buffer, text: string): boolean =>
  timingSafeEqual(Buffer.from(mac, "hex"), createHmac("sha256", secret).update(text).digest());

const sealLabel = (role: "dialer" | "listener", refusal: { code: string; newest?: Incarnation | undefined }): string =>
  `refuse-by-${role} ${refusal.code} ${refusal.newest ?? "-"}`;

const sealOf = (
  refusal: Refusal,
  secret: Buffer | undefined,
  transcript: Transcript,
  role: "dialer" | "listener",
): string | undefined => (secret === undefined ? undefined : macOf(secret, transcript(sealLabel(role, refusal))));

const isSealed = (
  refuse: Refuse,
  secrets: readonly Buffer[],
  transcript: Transcript,
  role: "dialer" | "listener",
): boolean => {
  const mac = refuse.mac;
  return mac !== undefined && secrets.some((secret) => isMac(mac, secret, transcript(sealLabel(role, refuse))));
};
