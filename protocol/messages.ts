/**
 * The JSON messages by which two peers get to know each other, before the first binary message of a link.
 *
 *     dialer                                   listener
 *       | -- hello     who I am, a nonce  -------> |    any of these may be answered by
 *       | <- challenge who I am, a nonce, macs --- |    refuse {code, message} and a close
 *       | -- proof     mac ----------------------> |
 *       | <- accept ------------------------------ |    from here on: binary messages only
 *
 * Each is one WebSocket text message of at most 4 KiB. Objects are strict: an unknown field is refused, so a message of
 * this version means exactly one thing. What the macs cover is in server/links/handshake.ts.
 */
import { z } from "zod";
import { handshakeMessageBytesMax, peersMax, strongPrefixBytesMax, strongPrefixesMax } from "./limits.ts";
import { type Incarnation, type PeerName, parseIncarnation, parsePeerName } from "./words.ts";

/** Of the handshake and of every message that follows on the link. */
export const protocolVersion = 1;

/** Why a link is refused. The list is stable; a peer treats a code it does not know as it treats BAD_MESSAGE. */
export type RefusalCode =
  /** Not a message of the handshake, not in this order, too long, or not text. */
  | "BAD_MESSAGE"
  | "UNKNOWN_VERSION"
  | "WRONG_CLUSTER"
  /** The sender's name is not in the receiver's peer list. */
  | "UNKNOWN_PEER"
  /** The two peer lists differ. Purging deletes counts on every peer listed, so this would lose deletes. */
  | "PEERS_DIFFER"
  | "STRONG_PREFIXES_DIFFER"
  /** Another peer answers at this address than the one meant, or the greater name dialed the smaller. */
  | "WRONG_PEER"
  /** The receiver has a secret and the sender none; and the reverse. */
  | "SECRET_MISSING"
  | "SECRET_UNEXPECTED"
  /** The mac is wrong: another secret, a replay or a reflection. */
  | "WRONG_SECRET"
  /** Two live processes claim this name. */
  | "NAME_TAKEN"
  /** A newer run of this name is known; the refusal names it. */
  | "STALE_INCARNATION";

const peerName = z.string().transform((text, context): PeerName => {
  const name = parsePeerName(text);
  if (name !== undefined) return name;
  context.addIssue({ code: "custom", message: "not a peer name" });
  return z.NEVER;
});
const incarnation = z.string().transform((text, context): Incarnation => {
  const parsed = parseIncarnation(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: "custom", message: "not an incarnation" });
  return z.NEVER;
});
/** 32 bytes in hex: a nonce or a mac. */
const bytes32 = z.string().regex(/^[0-9a-f]{64}$/);
const clusterId = z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/);
const version = z.literal(protocolVersion);

const hello = z.strictObject({
  type: z.literal("hello"),
  protocolVersion: version,
  clusterId,
  name: peerName,
  incarnation,
  nonce: bytes32,
  /** Every peer of the cluster, the sender among them, sorted byte-wise. */
  peers: z.array(peerName).min(1).max(peersMax),
  auth: z.enum(["secret", "none"]),
  /** Prefixes of strong keys, sorted. */
  strongPrefixes: z
    .array(
      z
        .string()
        .regex(/^[!-+\--~]+$/)
        .max(strongPrefixBytesMax),
    )
    .min(1)
    .max(strongPrefixesMax),
});

const challenge = z.strictObject({
  type: z.literal("challenge"),
  protocolVersion: version,
  clusterId,
  name: peerName,
  incarnation,
  nonce: bytes32,
  /** One per secret of the listener, the preferred first; empty without a secret. */
  macs: z.array(bytes32).max(2),
});

const proof = z.strictObject({
  type: z.literal("proof"),
  /** Made with the secret that the challenge was found to know; absent without a secret. */
  mac: bytes32.optional(),
});

const accept = z.strictObject({ type: z.literal("accept") });

const refuse = z.strictObject({
  type: z.literal("refuse"),
  code: z.string().regex(/^[A-Z_]{1,32}$/),
  /** For people; printable ASCII. */
  message: z.string().regex(/^[ -~]{0,1024}$/),
  /** STALE_INCARNATION: the newest run known of the refused peer's name. */
  newest: incarnation.optional(),
  /** Over code and newest. With a secret, `newest` counts only if this is right. */
  mac: bytes32.optional(),
});

const handshakeMessage = z.discriminatedUnion("type", [hello, challenge, proof, accept, refuse]);

export type Hello = z.infer<typeof hello>;
export type Challenge = z.infer<typeof challenge>;
export type Refuse = z.infer<typeof refuse>;
export type HandshakeMessage = z.infer<typeof handshakeMessage>;

/** Reads no more than this, so that a message of another version is told from a broken one. */
const versioned = z.looseObject({ type: z.enum(["hello", "challenge"]), protocolVersion: z.int().nonnegative() });

export type ParsedHandshakeMessage =
  | { readonly ok: true; readonly message: HandshakeMessage }
  | { readonly ok: false; readonly code: "BAD_MESSAGE" | "UNKNOWN_VERSION"; readonly why: string };

/** Never throws, whatever the text. `why` is printable ASCII and quotes nothing of what was sent but numbers. */
export const parseHandshakeMessage = (text: string): ParsedHandshakeMessage => {
  if (text.length > handshakeMessageBytesMax) {
    return bad(`message of ${text.length} characters, limit ${handshakeMessageBytesMax}`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return bad("not JSON");
  }
  const parsed = handshakeMessage.safeParse(json);
  if (parsed.success) return { ok: true, message: parsed.data };
  const other = versioned.safeParse(json);
  if (other.success && other.data.protocolVersion !== protocolVersion) {
    const why = `protocol version ${other.data.protocolVersion} there, ${protocolVersion} here`;
    return { ok: false, code: "UNKNOWN_VERSION", why };
  }
  return bad("not a message of the handshake");
};

const bad = (why: string): ParsedHandshakeMessage => ({ ok: false, code: "BAD_MESSAGE", why });

/** Fields in the order of the tables in docs/PROTOCOL.md, without blanks; undefined fields are left out. */
export const formatHandshakeMessage = (message: HandshakeMessage): string => JSON.stringify(message);
