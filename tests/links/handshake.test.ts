import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { handshakeMessageBytesMax } from "../../protocol/limits.ts";
import { parseHandshakeMessage } from "../../protocol/messages.ts";
import { strongPrefixesDefault } from "../../protocol/words.ts";
import {
  type Admission,
  clusterIdOf,
  DialerHandshake,
  type HandshakeIdentity,
  type HandshakeStep,
  ListenerHandshake,
  parseSecrets,
} from "../../server/links/handshake.ts";
import { decodeControl, encodeControl } from "../../server/links/heartbeat.ts";
import { name, run } from "./harness.ts";

const peers = [name("a"), name("b"), name("c")];
const secret = Buffer.from("correct horse battery staple");
const newSecret = Buffer.from("a wholly different secret");
const everybody: Admission = () => undefined;

const identity = (peer: string, more: Partial<HandshakeIdentity> = {}): HandshakeIdentity => ({
  name: name(peer),
  incarnation: run(1),
  clusterId: clusterIdOf(peers),
  peers,
  secrets: [secret],
  strongPrefixes: strongPrefixesDefault,
  ...more,
});

interface Meeting {
  readonly dialer?: Partial<HandshakeIdentity>;
  readonly listener?: Partial<HandshakeIdentity>;
  readonly dialerAdmits?: Admission;
  readonly listenerAdmits?: Admission;
  readonly expects?: string;
  /** Changes a message on its way. */
  readonly meddle?: (text: string, from: "dialer" | "listener") => string;
}

/** Passes messages between two ends until both are done. */
const meet = (meeting: Meeting): { dialer: HandshakeStep; listener: HandshakeStep; messages: string[] } => {
  const dialerHandshake = new DialerHandshake({
    identity: identity("a", meeting.dialer),
    peer: name(meeting.expects ?? "b"),
    nonce: Buffer.alloc(32, 1),
    admit: meeting.dialerAdmits ?? everybody,
  });
  const listenerHandshake = new ListenerHandshake({
    identity: identity("b", meeting.listener),
    nonce: Buffer.alloc(32, 2),
    admit: meeting.listenerAdmits ?? everybody,
  });
  const messages: string[] = [];
  let dialer: HandshakeStep = { type: "continue", send: dialerHandshake.open() };
  let listener: HandshakeStep | undefined;
  let from: "dialer" | "listener" = "dialer";
  for (let steps = 0; steps < 10; steps++) {
    const last: HandshakeStep | undefined = from === "dialer" ? dialer : listener;
    if (last?.send === undefined) break;
    const text = meeting.meddle?.(last.send, from) ?? last.send;
    messages.push(text);
    if (from === "dialer") {
      if (listener !== undefined && listener.type !== "continue") break;
      listener = listenerHandshake.receive(text);
    } else {
      if (dialer.type !== "continue") break;
      dialer = dialerHandshake.receive(text);
    }
    from = from === "dialer" ? "listener" : "dialer";
  }
  assert.ok(listener !== undefined);
  return { dialer, listener, messages };
};

const verdict = (step: HandshakeStep): string =>
  step.type === "refused" ? `${step.refused.code} by ${step.refused.by}` : step.type;

test("two peers of one cluster accept each other, with a secret, without, and while the secret changes", () => {
  const table: { why: string; dialer: Buffer[]; listener: Buffer[] }[] = [
    { why: "one secret", dialer: [secret], listener: [secret] },
    { why: "none", dialer: [], listener: [] },
    { why: "the dialer has the new one first", dialer: [newSecret, secret], listener: [secret] },
    { why: "the listener has the new one first", dialer: [secret], listener: [newSecret, secret] },
    { why: "the dialer has dropped the old one", dialer: [newSecret], listener: [newSecret, secret] },
    { why: "the listener has dropped the old one", dialer: [newSecret, secret], listener: [newSecret] },
    { why: "both orders", dialer: [newSecret, secret], listener: [secret, newSecret] },
  ];
  for (const { why, dialer, listener } of table) {
    const met = meet({
      dialer: { secrets: dialer, incarnation: run(7) },
      listener: { secrets: listener, incarnation: run(9) },
    });
    assert.deepEqual(met.dialer, { type: "accepted", peer: "b", incarnation: run(9) }, why);
    assert.ok(
      met.listener.type === "accepted" && met.listener.peer === "a" && met.listener.incarnation === run(7),
      why,
    );
  }
});

test("each reason to refuse has its code, and both ends learn it", () => {
  const stale: Admission = () => ({ code: "STALE_INCARNATION", message: "newer", newest: run(5) });
  const taken: Admission = () => ({ code: "NAME_TAKEN", message: "two of them" });
  const table: [why: string, code: string, by: "dialer" | "listener", meeting: Meeting][] = [
    ["another cluster", "WRONG_CLUSTER", "listener", { dialer: { clusterId: "other" } }],
    [
      "not listed",
      "UNKNOWN_PEER",
      "listener",
      { dialer: { name: name("aa"), peers: [name("a"), name("aa"), name("b"), name("c")] } },
    ],
    ["another list", "PEERS_DIFFER", "listener", { dialer: { peers: [name("a"), name("b")] } }],
    ["other strong keys", "STRONG_PREFIXES_DIFFER", "listener", { dialer: { strongPrefixes: ["lock:", "strong:"] } }],
    ["the greater name dials", "WRONG_PEER", "listener", { dialer: { name: name("c") } }],
    [
      "same name, other run",
      "NAME_TAKEN",
      "listener",
      { dialer: { name: name("b"), incarnation: run(2) }, expects: "c" },
    ],
    ["dialed itself", "WRONG_PEER", "listener", { dialer: { name: name("b") }, expects: "c" }],
    ["another peer answers", "WRONG_PEER", "dialer", { expects: "c" }],
    ["dialer has no secret", "SECRET_MISSING", "listener", { dialer: { secrets: [] } }],
    ["listener has no secret", "SECRET_UNEXPECTED", "listener", { listener: { secrets: [] } }],
    ["another secret", "WRONG_SECRET", "dialer", { listener: { secrets: [newSecret] } }],
    ["an older run of the dialer", "STALE_INCARNATION", "listener", { listenerAdmits: stale }],
    ["an older run of the listener", "STALE_INCARNATION", "dialer", { dialerAdmits: stale }],
    ["two of the dialer", "NAME_TAKEN", "listener", { listenerAdmits: taken }],
    ["two of the listener", "NAME_TAKEN", "dialer", { dialerAdmits: taken }],
  ];
  for (const [why, code, by, meeting] of table) {
    const { dialer, listener } = meet(meeting);
    assert.equal(verdict(dialer), `${code} by ${by === "dialer" ? "us" : "them"}`, why);
    assert.equal(verdict(listener), `${code} by ${by === "listener" ? "us" : "them"}`, why);
    const refused = by === "dialer" ? listener : dialer;
    if (code === "STALE_INCARNATION") assert.ok(refused.type === "refused" && refused.refused.newest === run(5), why);
  }
});

test("a refusal that names a newest run counts only with its mac", () => {
  const listenerAdmits: Admission = () => ({ code: "STALE_INCARNATION", message: "newer", newest: run(5) });
  const forgeries: [string, (text: string) => string][] = [
    ["another newest", (text) => text.replace(run(5), run(35))],
    ["no mac", (text) => text.replace(/,"mac":"[0-9a-f]{64}"\}$/, "}")],
  ];
  for (const [why, forge] of forgeries) {
    const { dialer } = meet({ listenerAdmits, meddle: (text) => (text.includes("STALE") ? forge(text) : text) });
    assert.ok(dialer.type === "refused" && dialer.refused.newest === undefined, why);
  }
});

test("whoever meddles with any field of the handshake breaks it", () => {
  const fields = [
    "clusterId",
    "name",
    "incarnation",
    "nonce",
    "peers",
    "auth",
    "mac",
    "macs",
    "protocolVersion",
    "type",
  ];
  let changed = 0;
  for (const side of ["dialer", "listener"] as const) {
    for (const field of fields) {
      for (const messageIndex of [0, 1]) {
        let seen = 0;
        let didChange = false;
        const { dialer, listener } = meet({
          meddle: (text, from) => {
            if (from !== side || seen++ !== messageIndex) return text;
            const message = JSON.parse(text) as Record<string, unknown>;
            if (message[field] === undefined) return text;
            didChange = true;
            return JSON.stringify({ ...message, [field]: changeOf(message[field]) });
          },
        });
        if (!didChange) continue;
        changed += 1;
        const accepted = dialer.type === "accepted" && listener.type === "accepted";
        assert.ok(!accepted, `${side} message ${messageIndex} ${field}`);
      }
    }
  }
  assert.equal(changed, 18, "fields of hello, proof, challenge and accept");
});

const changeOf = (value: unknown): unknown => {
  if (typeof value === "number") return value + 1;
  if (Array.isArray(value)) return value.map(changeOf);
  const text = String(value);
  if (text === "secret") return "none";
  const last = text.at(-1) === "0" ? "1" : "0";
  return text.slice(0, -1) + last;
};

test("a hello and a proof played back fail, since the nonce is another", () => {
  const { messages } = meet({});
  const again = new ListenerHandshake({ identity: identity("b"), nonce: Buffer.alloc(32, 3), admit: everybody });
  assert.equal(again.receive(messages[0] ?? "").type, "continue");
  assert.equal(verdict(again.receive(messages[2] ?? "")), "WRONG_SECRET by us");
});

test("a listener's own mac sent back to it proves nothing", () => {
  const { messages } = meet({});
  const listener = new ListenerHandshake({ identity: identity("b"), nonce: Buffer.alloc(32, 2), admit: everybody });
  const step = listener.receive(messages[0] ?? "");
  assert.ok(step.type === "continue");
  const { macs } = JSON.parse(step.send) as { macs: string[] };
  assert.equal(verdict(listener.receive(JSON.stringify({ type: "proof", mac: macs[0] }))), "WRONG_SECRET by us");
});

test("a challenge without macs, or a proof without one, is no way around the secret", () => {
  const without = (field: string) => (text: string) => {
    const message = JSON.parse(text) as Record<string, unknown>;
    if (message[field] === undefined) return text;
    return JSON.stringify({ ...message, [field]: field === "macs" ? [] : undefined });
  };
  assert.equal(verdict(meet({ meddle: without("macs") }).dialer), "SECRET_MISSING by us");
  assert.equal(verdict(meet({ meddle: without("mac") }).listener), "WRONG_SECRET by us");
});

test("anything but the next message is refused and never throws", () => {
  const { messages } = meet({});
  const [hello = "", challenge = "", proof = "", accept = ""] = messages;
  const table: [why: string, code: string, first: string | undefined, then: string][] = [
    ["empty", "BAD_MESSAGE", undefined, ""],
    ["not JSON", "BAD_MESSAGE", undefined, "hello"],
    ["not an object", "BAD_MESSAGE", undefined, "[]"],
    ["null", "BAD_MESSAGE", undefined, "null"],
    ["deep", "BAD_MESSAGE", undefined, "[".repeat(2000) + "]".repeat(2000)],
    ["an unknown type", "BAD_MESSAGE", undefined, '{"type":"bye"}'],
    ["an unknown field", "BAD_MESSAGE", undefined, hello.replace("{", '{"more":1,')],
    ["__proto__", "BAD_MESSAGE", undefined, hello.replace("{", '{"__proto__":{},')],
    ["a missing field", "BAD_MESSAGE", undefined, hello.replace('"auth":"secret"', '"x":1')],
    ["a name that is none", "BAD_MESSAGE", undefined, hello.replace('"name":"a"', '"name":"a b"')],
    ["an incarnation that is none", "BAD_MESSAGE", undefined, hello.replace(run(1), "Z")],
    ["a short nonce", "BAD_MESSAGE", undefined, hello.replace("01".repeat(32), "01")],
    ["too long", "BAD_MESSAGE", undefined, hello + " ".repeat(handshakeMessageBytesMax)],
    [
      "65 peers",
      "BAD_MESSAGE",
      undefined,
      hello.replace('"a","b","c"', Array.from({ length: 65 }, (_, i) => `"p${i}"`).join()),
    ],
    ["a later version", "UNKNOWN_VERSION", undefined, '{"type":"hello","protocolVersion":2,"shape":"unknown"}'],
    ["an earlier version", "UNKNOWN_VERSION", undefined, hello.replace('"protocolVersion":1', '"protocolVersion":0')],
    ["proof first", "BAD_MESSAGE", undefined, proof],
    ["challenge to a listener", "BAD_MESSAGE", undefined, challenge],
    ["accept to a listener", "BAD_MESSAGE", undefined, accept],
    ["hello twice", "BAD_MESSAGE", hello, hello],
    ["accept after hello", "BAD_MESSAGE", hello, accept],
  ];
  for (const [why, code, first, then] of table) {
    const listener = new ListenerHandshake({ identity: identity("b"), nonce: Buffer.alloc(32, 2), admit: everybody });
    if (first !== undefined) assert.equal(listener.receive(first).type, "continue", why);
    const step = listener.receive(then);
    assert.equal(verdict(step), `${code} by us`, why);
    assert.ok(
      step.send !== undefined && step.send.length < handshakeMessageBytesMax && parseHandshakeMessage(step.send).ok,
      why,
    );
  }
  for (const [why, text] of [
    ["accept before challenge", accept],
    ["hello", hello],
    ["proof", proof],
    ["garbage", "\u0000"],
  ] as const) {
    const dialer = new DialerHandshake({
      identity: identity("a"),
      peer: name("b"),
      nonce: Buffer.alloc(32, 1),
      admit: everybody,
    });
    dialer.open();
    assert.equal(verdict(dialer.receive(text)), "BAD_MESSAGE by us", why);
  }
});

test("a refusal with a code of a later version is shown as it is told", () => {
  const dialer = new DialerHandshake({
    identity: identity("a"),
    peer: name("b"),
    nonce: Buffer.alloc(32, 1),
    admit: everybody,
  });
  const step = dialer.receive('{"type":"refuse","code":"TOO_TIRED","message":"come back later"}');
  assert.ok(step.type === "refused");
  assert.deepEqual([step.refused.code, step.refused.message, step.send], ["BAD_MESSAGE", "come back later", undefined]);
});

test("a secret file holds one or two long lines, and what is wrong with one is said without quoting it", () => {
  assert.deepEqual(parseSecrets("0123456789abcdef\n").map(String), ["0123456789abcdef"]);
  assert.deepEqual(parseSecrets("0123456789abcdef\r\n\r\nfedcba9876543210").map(String), [
    "0123456789abcdef",
    "fedcba9876543210",
  ]);
  for (const [text, message] of [
    ["", "the secret file is empty"],
    ["0123456789abcde", "a secret of 15 bytes is too short, at least 16 are needed"],
    ["0123456789abcdef\n".repeat(3), "the secret file has 3 lines, limit 2"],
  ] as const) {
    assert.throws(() => parseSecrets(text), { name: "RangeError", message });
  }
});

test("a cluster without an id has one by its peers, in whatever order they are listed", () => {
  assert.equal(clusterIdOf([name("c"), name("a"), name("b")]), clusterIdOf(peers));
  assert.notEqual(clusterIdOf([name("a"), name("b")]), clusterIdOf(peers));
});

// ---- Bytes of version 1: a later version must still refuse or speak them ---------------------------------------------

interface Fixture {
  readonly secret: string;
  readonly clusterId: string;
  readonly withSecret: string[];
  readonly withoutSecret: string[];
  readonly refusals: string[];
  readonly ping: string;
  readonly pong: string;
}
const fixture = JSON.parse(readFileSync(new URL("../fixtures/handshake-v1.json", import.meta.url), "utf8")) as Fixture;

test("version 1 speaks the bytes it spoke when it was released", () => {
  const secrets = [Buffer.from(fixture.secret)];
  assert.equal(clusterIdOf(peers), fixture.clusterId);
  assert.deepEqual(meet({ dialer: { secrets }, listener: { secrets } }).messages, fixture.withSecret);
  assert.deepEqual(meet({ dialer: { secrets: [] }, listener: { secrets: [] } }).messages, fixture.withoutSecret);
  const stale: Admission = () => ({ code: "STALE_INCARNATION", message: "newer", newest: run(5) });
  const refusals = [
    meet({ dialer: { secrets, clusterId: "other" }, listener: { secrets } }),
    meet({ dialer: { secrets }, listener: { secrets }, listenerAdmits: stale }),
    meet({ dialer: { secrets }, listener: { secrets }, dialerAdmits: stale }),
  ].map(({ messages }) => messages.at(-1));
  assert.deepEqual(refusals, fixture.refusals);
  for (const text of [...fixture.withSecret, ...fixture.withoutSecret, ...fixture.refusals]) {
    assert.ok(parseHandshakeMessage(text).ok, text);
  }
  const ping = { type: "ping", sequence: 1, wallMs: 1_700_000_000_000 } as const;
  const pong = { type: "pong", sequence: 0xffffffff, wallMs: 1_700_000_000_000.5 } as const;
  assert.equal(encodeControl(ping).toString("hex"), fixture.ping);
  assert.equal(encodeControl(pong).toString("hex"), fixture.pong);
  assert.deepEqual(decodeControl(Buffer.from(fixture.ping, "hex")), ping);
  assert.deepEqual(decodeControl(Buffer.from(fixture.pong, "hex")), pong);
});
