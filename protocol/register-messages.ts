/**
 * The messages between proposers and acceptors of strong keys, and an acceptor's durable records.
 *
 *   messages u8 20, the kind of link message | u8 format (2) | messages, one after the other, to the end
 *   message  u8 kind | epoch: counter, origin | asker: origin | round | by kind
 *   records  u8 format (2) | records, one after the other, to the end
 *   record   u8 kind | by kind
 *
 * `asker` is the run of the peer that began the round, so an answer to an earlier run is never taken for one to this.
 */
import { type Ballot, noBallot, OriginReader, OriginWriter, readBallotCounter } from "./ballots.ts";
import { ByteReader, ByteWriter, DecodeFault } from "./bytes.ts";
import { keyBytesMax, registerBytesMax, registerKeysPerPage, registerMessageBytes } from "./limits.ts";
import { checkRegisterValue } from "./register-value.ts";
import type { OriginId } from "./words.ts";

interface Envelope {
  /** Which membership this speaks of; grows with each acceptor that is readmitted. */
  readonly epoch: Ballot;
  readonly asker: OriginId;
  /** Counts the rounds of one asker. */
  readonly round: number;
}

/** What an acceptor holds of a key. */
interface Held {
  readonly accepted: Ballot;
  /** "" exactly when nothing was accepted. Undefined: `accepted` is what the asker said that it holds itself. */
  readonly value: string | undefined;
  /** Of the acceptor; told only where it holds nothing of the key, else noBallot. */
  readonly floor: Ballot;
}

export type RegisterRequest = Envelope &
  /** `known`: what the asker's own acceptor holds of the key, or noBallot. Who holds the same leaves the value out. */
  (
    | { readonly kind: "prepare"; readonly key: string; readonly ballot: Ballot; readonly known: Ballot }
    /** `next`: the ballot to promise for the round after, or noBallot. */
    | {
        readonly kind: "accept";
        readonly key: string;
        readonly ballot: Ballot;
        readonly next: Ballot;
        readonly value: string;
      }
    | { readonly kind: "query"; readonly key: string; readonly known: Ballot }
    | { readonly kind: "remove"; readonly key: string; readonly ballot: Ballot }
    /** Leave all earlier epochs: `epoch` is the new one. */
    | { readonly kind: "raise" }
    /** Keys after this one, in byte order; "" from the first on. */
    | { readonly kind: "list"; readonly after: string; readonly first: boolean }
  );

export type RegisterResponse = Envelope &
  (
    | ({ readonly kind: "promised" } & Held)
    | { readonly kind: "accepted"; readonly next: Ballot }
    | ({ readonly kind: "state" } & Held)
    /** Something above was promised or accepted. */
    | { readonly kind: "refused"; readonly above: Ballot }
    /** The round's epoch is over; `epoch` is the one it was refused for. */
    | { readonly kind: "stale" }
    | { readonly kind: "raised"; readonly floor: Ballot; readonly highest: number }
    | { readonly kind: "listed"; readonly keys: readonly string[]; readonly more: boolean }
  );

/** Said when two peers are linked, and when it changes. */
export type RegisterStanding = Envelope & {
  readonly kind: "standing";
  /** Its acceptor answers. */
  readonly admitted: boolean;
  /** This disk never held a register, nor promised anything, nor was rolled back. */
  readonly blank: boolean;
};

export type RegisterMessage = RegisterRequest | RegisterResponse | RegisterStanding;

const kinds = {
  prepare: 1,
  accept: 2,
  query: 3,
  remove: 4,
  raise: 5,
  list: 6,
  promised: 16,
  accepted: 17,
  state: 18,
  refused: 19,
  stale: 20,
  raised: 21,
  listed: 22,
  standing: 32,
} as const satisfies Record<RegisterMessage["kind"], number>;

const firstResponse = kinds.promised;

const format = 2;
const recordFormat = 2;

/** First byte of these messages on a link. link-messages.ts has 1 to 18, published.ts 19. */
export const registersKind = 20;

export const isRequest = (message: RegisterMessage): message is RegisterRequest => kinds[message.kind] < firstResponse;
export const isStanding = (message: RegisterMessage): message is RegisterStanding => message.kind === "standing";

const writeMessage = (out: ByteWriter, origins: OriginWriter, message: RegisterMessage): void => {
  out.u8(kinds[message.kind]);
  origins.epoch(out, message.epoch);
  origins.write(out, message.asker);
  out.varint(message.round);
  switch (message.kind) {
    case "prepare":
      out.string(message.key);
      origins.ballot(out, message.ballot);
      return origins.ballot(out, message.known);
    case "remove":
      out.string(message.key);
      return origins.ballot(out, message.ballot);
    case "accept":
      out.string(message.key);
      origins.ballot(out, message.ballot);
      origins.ballot(out, message.next);
      return out.string(message.value);
    case "query":
      out.string(message.key);
      return origins.ballot(out, message.known);
    case "raise":
    case "stale":
      return;
    case "list":
      out.u8(message.first ? 1 : 0);
      return out.string(message.after);
    case "promised":
    case "state":
      return writeHeld(out, origins, message);
    case "accepted":
      return origins.ballot(out, message.next);
    case "refused":
      return origins.ballot(out, message.above);
    case "raised":
      origins.ballot(out, message.floor);
      return out.varint(message.highest);
    case "listed":
      out.u8(message.more ? 1 : 0);
      out.varint(message.keys.length);
      for (const key of message.keys) out.string(key);
      return;
    case "standing":
      out.u8(message.admitted ? 1 : 0);
      return out.u8(message.blank ? 1 : 0);
  }
};

const writeHeld = (out: ByteWriter, origins: OriginWriter, held: Held): void => {
  origins.ballot(out, held.accepted);
  if (held.accepted.counter === 0) return origins.ballot(out, held.floor);
  out.u8(held.value === undefined ? 0 : 1);
  if (held.value !== undefined) out.string(held.value);
};

const readHeld = (input: ByteReader, origins: OriginReader): Held => {
  const accepted = origins.ballot(input);
  if (accepted.counter === 0) return { accepted, value: "", floor: origins.ballot(input) };
  return { accepted, value: readFlag(input) ? readValue(input) : undefined, floor: noBallot };
};

/** Looked at whole here, so that no register is stored that a proposer could not read. */
const readValue = (input: ByteReader): string => {
  const text = input.string(registerBytesMax);
  checkRegisterValue(new ByteReader(input.bytes, input.at - text.length, input.at));
  return text;
};

const readBallot = (input: ByteReader, origins: OriginReader): Ballot => {
  const ballot = origins.ballot(input);
  if (ballot.counter === 0) throw new DecodeFault("a round has a ballot");
  return ballot;
};

const readFlag = (input: ByteReader): boolean => {
  const byte = input.u8();
  if (byte > 1) throw new DecodeFault("a flag is 0 or 1");
  return byte === 1;
};

const readMessage = (input: ByteReader, origins: OriginReader): RegisterMessage => {
  const kind = input.u8();
  const epoch = origins.epoch(input);
  const asker = origins.read(input);
  const round = input.varint();
  // Those of every operation are spelled out: a spread costs as much as reading the message.
  switch (kind) {
    case kinds.prepare: {
      const key = input.string(keyBytesMax);
      const ballot = readBallot(input, origins);
      return { kind: "prepare", epoch, asker, round, key, ballot, known: origins.ballot(input) };
    }
    case kinds.remove:
      return {
        kind: "remove",
        epoch,
        asker,
        round,
        key: input.string(keyBytesMax),
        ballot: readBallot(input, origins),
      };
    case kinds.accept: {
      const key = input.string(keyBytesMax);
      const ballot = readBallot(input, origins);
      const next = origins.ballot(input);
      return { kind: "accept", epoch, asker, round, key, ballot, next, value: readValue(input) };
    }
    case kinds.query:
      return { kind: "query", epoch, asker, round, key: input.string(keyBytesMax), known: origins.ballot(input) };
    case kinds.raise:
      return { kind: "raise", epoch, asker, round };
    case kinds.list:
      return { kind: "list", epoch, asker, round, first: readFlag(input), after: input.string(keyBytesMax) };
    case kinds.promised:
    case kinds.state: {
      const { accepted, value, floor } = readHeld(input, origins);
      return { kind: kind === kinds.state ? "state" : "promised", epoch, asker, round, accepted, value, floor };
    }
    case kinds.accepted:
      return { kind: "accepted", epoch, asker, round, next: origins.ballot(input) };
    case kinds.refused:
      return { kind: "refused", epoch, asker, round, above: origins.ballot(input) };
    case kinds.stale:
      return { kind: "stale", epoch, asker, round };
    case kinds.raised:
      return { kind: "raised", epoch, asker, round, floor: origins.ballot(input), highest: input.varint() };
    case kinds.listed: {
      const more = readFlag(input);
      const count = input.count(1);
      if (count > registerKeysPerPage) throw new DecodeFault(`${count} keys, limit ${registerKeysPerPage}`);
      const keys: string[] = [];
      for (let left = count; left > 0; left--) keys.push(input.string(keyBytesMax));
      return { kind: "listed", epoch, asker, round, more, keys };
    }
    case kinds.standing:
      return { kind: "standing", epoch, asker, round, admitted: readFlag(input), blank: readFlag(input) };
    default:
      throw new DecodeFault(`register message of kind ${kind}`);
  }
};

/** Batches are put together here, then copied out: a buffer of its own for each costs more than what goes into it. */
let scratch = new ByteWriter(registerMessageBytes);

const emptyScratch = (): ByteWriter => {
  // One long message must not keep its memory for good.
  if (scratch.bytes.length > 16 * registerMessageBytes) scratch = new ByteWriter(registerMessageBytes);
  scratch.length = 0;
  return scratch;
};

export const encodeRegisterMessages = (messages: readonly RegisterMessage[]): Buffer => {
  const out = emptyScratch();
  const origins = new OriginWriter();
  out.u8(registersKind);
  out.u8(format);
  for (const message of messages) writeMessage(out, origins, message);
  return out.take();
};

/** Throws DecodeFault for anything that is not whole messages. */
export const decodeRegisterMessages = (bytes: Uint8Array): readonly RegisterMessage[] => {
  const input = new ByteReader(bytes);
  const origins = new OriginReader();
  if (input.u8() !== registersKind) throw new DecodeFault("not register messages");
  const found = input.u8();
  if (found !== format) throw new DecodeFault(`register messages of format ${found}, this version reads ${format}`);
  const messages: RegisterMessage[] = [];
  while (input.left > 0) messages.push(readMessage(input, origins));
  return messages;
};

/** What an acceptor must have on disk before it answers. Replaying them in order gives its state. */
export type RegisterRecord =
  /** No ballot with a counter above this is promised, of any key. */
  | { readonly kind: "ceiling"; readonly counter: number }
  | { readonly kind: "accept"; readonly key: string; readonly accepted: Ballot; readonly value: string }
  /** The key is gone and the floor is at least this: one record, so neither can be lost without the other. */
  | { readonly kind: "remove"; readonly key: string; readonly floor: Ballot }
  | { readonly kind: "epoch"; readonly epoch: Ballot }
  /** May this disk's acceptor answer? `highest`: the highest counter it must know of. */
  | {
      readonly kind: "admission";
      readonly admitted: boolean;
      readonly epoch: Ballot;
      readonly floor: Ballot;
      readonly highest: number;
    };

const recordKinds = {
  ceiling: 1,
  accept: 2,
  remove: 3,
  epoch: 4,
  admission: 5,
} as const satisfies Record<RegisterRecord["kind"], number>;

const writeRecord = (out: ByteWriter, origins: OriginWriter, record: RegisterRecord): void => {
  out.u8(recordKinds[record.kind]);
  switch (record.kind) {
    case "ceiling":
      return out.varint(record.counter);
    case "accept":
      out.string(record.key);
      origins.ballot(out, record.accepted);
      return out.string(record.value);
    case "remove":
      out.string(record.key);
      return origins.ballot(out, record.floor);
    case "epoch":
      return origins.epoch(out, record.epoch);
    case "admission":
      out.u8(record.admitted ? 1 : 0);
      origins.epoch(out, record.epoch);
      origins.ballot(out, record.floor);
      return out.varint(record.highest);
  }
};

export const encodeRegisterRecords = (records: readonly RegisterRecord[]): Buffer => {
  const out = emptyScratch();
  const origins = new OriginWriter();
  out.u8(recordFormat);
  for (const record of records) writeRecord(out, origins, record);
  return out.take();
};

/** Throws DecodeFault for anything that is not whole records. */
export const decodeRegisterRecords = (bytes: Uint8Array): readonly RegisterRecord[] => {
  const input = new ByteReader(bytes);
  const origins = new OriginReader();
  const found = input.u8();
  if (found !== recordFormat) {
    throw new DecodeFault(`register records of format ${found}, this version reads ${recordFormat}`);
  }
  const records: RegisterRecord[] = [];
  while (input.left > 0) records.push(readRecord(input, origins));
  return records;
};

const readRecord = (input: ByteReader, origins: OriginReader): RegisterRecord => {
  const kind = input.u8();
  switch (kind) {
    case recordKinds.ceiling:
      return { kind: "ceiling", counter: readBallotCounter(input) };
    case recordKinds.accept: {
      const key = input.string(keyBytesMax);
      return { kind: "accept", key, accepted: readBallot(input, origins), value: readValue(input) };
    }
    case recordKinds.remove:
      return { kind: "remove", key: input.string(keyBytesMax), floor: readBallot(input, origins) };
    case recordKinds.epoch:
      return { kind: "epoch", epoch: origins.epoch(input) };
    case recordKinds.admission:
      return {
        kind: "admission",
        admitted: readFlag(input),
        epoch: origins.epoch(input),
        floor: origins.ballot(input),
        highest: input.varint(),
      };
    default:
      throw new DecodeFault(`register record of kind ${kind}`);
  }
};
