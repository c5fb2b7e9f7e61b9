import assert from "node:assert/strict";
import { createServer } from "node:http";
import { describe, type TestContext, test } from "node:test";
import { parseStatus, type StatusReport } from "../../protocol/status.ts";
import { inspectToText } from "../../server/cli/inspect-text.ts";
import { type Probe, verdictOf } from "../../server/cli/verdict.ts";
import { runScript } from "../support/processes.ts";
import { statusReportOf } from "../support/status-report.ts";
import { strongStatusOf } from "../support/strong-status.ts";

const report = (name: string, changes: Partial<StatusReport> = {}): StatusReport =>
  statusReportOf(name, {
    peer: { ...statusReportOf(name).peer, uptimeSeconds: 61 },
    keys: 1234,
    conflicts: { kept: 2, dropped: 0 },
    digest: { value: "00ff", horizon: 1000 },
    versionVector: { "a.1": 10, "b.1": 5 },
    memory: { usedBytes: 2048, rssBytes: 4096, maxBytes: 0 },
    latency: { p50Ms: 0.2, p99Ms: null, maxMs: 4, count: 3 },
    clients: { tcp: 1, webSocket: 2, blocked: 0, watches: 3 },
    ...changes,
  });

const probe = (name: string, changes: Partial<StatusReport> = {}): Probe => ({
  address: `${name}:1`,
  status: report(name, changes),
});
const silent: Probe = { address: "c:1", why: "nobody listens there" };

describe("the verdict", () => {
  const other = { value: "1234", horizon: 1000 };
  const later = { value: "1234", horizon: 2000 };
  const cases: readonly (readonly [why: string, probes: readonly Probe[], kind: string, words: RegExp])[] = [
    [
      "equal vectors, equal digests",
      [probe("a"), probe("b")],
      "identical",
      /^identical: 2 peers, 1234 keys, digest 00ff$/,
    ],
    [
      "the order of origins is none",
      [probe("a"), probe("b", { versionVector: { "b.1": 5, "a.1": 10, "c.1": 0 } })],
      "identical",
      /./,
    ],
    [
      "equal digests at unequal vectors prove nothing",
      [probe("a"), probe("b", { versionVector: { "a.1": 8 } })],
      "syncing",
      /b lacks 7 ops$/,
    ],
    [
      "each lacks something",
      [probe("a"), probe("b", { versionVector: { "a.1": 9, "b.1": 6 } })],
      "syncing",
      /a lacks 1 op, b lacks 1 op/,
    ],
    [
      "equal vectors, unequal digests",
      [probe("a"), probe("b", { digest: other })],
      "differs",
      /a and b hold the same writes and differ; DIFF b at a/,
    ],
    ["unequal horizons", [probe("a"), probe("b", { digest: later })], "syncing", /ask again/],
    ["one is silent", [probe("a"), probe("b"), silent], "unreachable", /^1 of 3 peers did not answer/],
    ["a proven difference outweighs silence", [probe("a"), probe("b", { digest: other }), silent], "differs", /differ/],
    ["nobody answers", [silent], "unreachable", /1 of 1/],
    ["alone", [probe("a")], "identical", /nobody to differ from/],
    [
      "two clusters",
      [probe("a"), probe("b", { peer: { ...report("b").peer, cluster: "other" } })],
      "differs",
      /different clusters: chorus, other/,
    ],
  ];
  for (const [why, probes, kind, words] of cases)
    test(why, () => {
      const verdict = verdictOf(probes);
      assert.equal(verdict.kind, kind);
      assert.match(verdict.text, words);
    });
});

describe("a status report from a stranger's port", () => {
  const broken: readonly (readonly [value: unknown, why: RegExp])[] = [
    [null, /not a status report/],
    [[], /not a status report/],
    [{ ...report("a"), format: 2 }, /status format 2, this chorus reads 1/],
    [{ ...report("a"), keys: "many" }, /keys is not a number/],
    [{ ...report("a"), peers: [{ name: "a" }] }, /a peer's address is not a string/],
    [{ ...report("a"), peer: null }, /peer.name is not a string/],
    [{ ...report("a"), versionVector: { a: 1.5 } }, /versionVector holds a non-integer/],
    [{ ...report("a"), links: [null] }, /a link's peer is not a string/],
    [{ ...report("a"), alarms: [1] }, /a list of words holds something else/],
  ];
  for (const [value, why] of broken)
    test(`is refused: ${why.source}`, () => {
      const parsed = parseStatus(value);
      assert(!parsed.ok && why.test(parsed.why), JSON.stringify(parsed));
    });

  test("is read back as it was written", () => {
    const sent = report("a");
    assert.deepEqual(parseStatus(JSON.parse(JSON.stringify(sent))), { ok: true, status: sent });
  });
});

/** Answers every request with what `answer` gives; resolves with its address. */
const serve = (t: TestContext, answer: () => string | undefined): Promise<string> =>
  new Promise((resolve) => {
    const server = createServer((_, response) => {
      const text = answer();
      if (text !== undefined) response.end(text);
    });
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(`127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`);
    });
  });

describe("chorus status", () => {
  test("prints peers, links and the verdict, and exits with 0 when they are identical", async (t) => {
    const link = {
      peer: "b",
      state: "up",
      address: "x",
      rttMs: 0.4,
      clockOffsetMs: -3,
      lagOps: 0,
      lagMs: 0,
      behindOps: 0,
      verdict: "identical" as const,
      incarnation: "000000000000001",
      gated: false,
      tombstonesHeld: 0,
      queuedBytes: 0,
      why: "",
      fault: "none" as const,
    };
    const a = await serve(t, () => JSON.stringify(report("a", { links: [link] })));
    const b = await serve(t, () =>
      JSON.stringify(
        report("b", {
          tombstones: { count: 7, bytes: 700, heldBy: ["c"] },
          strong: strongStatusOf({
            standing: "readmitting",
            keys: 1234,
            answering: 1,
            readmission: { raised: 2, listed: 1, unread: 40 },
          }),
        }),
      ),
    );
    const { code, stdout, stderr } = await runScript(t, "server/main.ts", ["status", "--peers", `a=${a},${b}`]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^peer +http +state +up +keys/m);
    assert.match(stdout, /^a +127\.0\.0\.1:\d+ +ready +1 min +1,234 +00ff/m);
    assert.match(stdout, /^a -> b +up +0 ops +0\.4 ms +-3 ms +0 B$/m);
    assert.match(stdout, /^a +admitted +0 +3, 2 needed +0 +0 +strong:$/m);
    assert.match(stdout, /^b +readmitting +1,234 +1, no majority +0 +0 +strong:$/m);
    assert.match(
      stdout,
      /^b: strong keys are readmitted: 2 peers have .* 1 listed their keys, 40 keys are to be copied$/m,
    );
    assert.match(stdout, /^b: 7 tombstones \(700 B\) are held back by c$/m);
    assert.match(stdout, /^identical: 2 peers, 1234 keys, digest 00ff\n$/m);
  });

  test("syncing is 1, a silent or foreign port is 3, and each says why; --json has it all", async (t) => {
    const a = await serve(t, () => JSON.stringify(report("a")));
    const behind = await serve(t, () => JSON.stringify(report("b", { versionVector: { "a.1": 1 } })));
    const foreign = await serve(t, () => "<html>");
    const mute = await serve(t, () => undefined);
    const escaping = await serve(t, () => JSON.stringify(report("b", { alarms: ["\u001b[2Jgone"] })));
    const [syncing, unreachable, json, hostile] = await Promise.all([
      runScript(t, "server/main.ts", ["status", "--peers", `${a},${behind}`]),
      runScript(t, "server/main.ts", ["status", "--peers", `${a},${foreign},${mute},127.0.0.1:1`]),
      runScript(t, "server/main.ts", ["status", "--json", "--peers", a]),
      runScript(t, "server/main.ts", ["status", "--peers", escaping]),
    ]);
    assert.equal(syncing.code, 1);
    assert.match(syncing.stdout, /syncing: b lacks 14 ops/);
    assert.equal(unreachable.code, 3);
    assert.match(unreachable.stdout, /answered something that is not JSON/);
    assert.match(unreachable.stdout, /no answer within 2 s/);
    assert.match(unreachable.stdout, /nobody listens there/);
    assert.equal(json.code, 0);
    assert.equal((JSON.parse(json.stdout) as { verdict: { kind: string } }).verdict.kind, "identical");
    assert(!hostile.stdout.includes("\u001b"), "control characters of others are shown, not sent");
    assert.match(hostile.stdout, /b: \\x1b\[2Jgone/);
  });
});

test("chorus inspect shows keys as text where they are text, and cuts long values", () => {
  const text = inspectToText({
    format: 1,
    directory: "data/b",
    peer: { name: "b", incarnation: "00000000000aaaa" },
    gated: false,
    versionVector: { "b.1": 3 },
    checkpoint: { lsn: 1, cells: 3, bytes: 100 },
    log: {
      firstLsn: 1,
      nextLsn: 4,
      bytes: 300,
      segments: [{ file: "1.log", firstLsn: 1, records: 3, bytes: 300 }],
      damage: [],
    },
    keys: { live: 2, tombstones: 1, expired: 0 },
    conflicts: 0,
    strong: {
      prefixes: ["strong:"],
      admitted: true,
      live: 1,
      deleted: 1,
      keys: [
        {
          key: "strong:lock",
          state: "live",
          value: "me\u0000",
          version: 7,
          ballot: "7@b.00000000000aaaa",
          ttlMs: 30_000,
          operations: 1,
          fences: {},
        },
        {
          key: "strong:old",
          state: "deleted",
          value: undefined,
          version: 9,
          ballot: "9@c.1",
          ttlMs: 0,
          operations: 0,
          fences: {},
        },
      ],
      truncated: false,
    },
    cells: [
      {
        key: Buffer.from("Zürich").toString("latin1"),
        state: "live",
        value: "x".repeat(5000),
        dot: "b.1:1",
        stampMs: 1_000,
        expiresAtMs: 0,
      },
      { key: "\u0000\u00ff", state: "deleted", value: undefined, dot: "b.1:2", stampMs: 0, expiresAtMs: 0 },
    ],
    truncated: true,
  });
  assert.match(text, /^Zürich +live +x{60}\.\.\. \(4\.9 KiB\) +1970-01-01T00:00:01\.000Z +b\.1:1 +-$/m);
  assert.match(text, /^\\x00ÿ +deleted +- /m);
  assert.match(text, /^damage +none$/m);
  assert.match(text, /^strong keys +1 live, 1 deleted, under strong:; this disk answers for them$/m);
  assert.match(text, /^strong:lock +live +me\\x00 +7 +7@b\.0+aaaa +30,000 ms$/m);
  assert.match(text, /^strong:old +deleted +- +9 +9@c\.1 +-$/m);
});
