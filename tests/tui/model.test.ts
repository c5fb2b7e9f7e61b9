import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterChange, ClusterConflict } from "../../client-tui/cluster.ts";
import { badgeOf } from "../../client-tui/model/convergence.ts";
import { tuiFeedChangesMax } from "../../protocol/limits.ts";
import { addressOf, answersOf, linkOf, ModelDriver, reportOf } from "./model-driver.ts";

const threePeers = (options: ConstructorParameters<typeof ModelDriver>[0] = {}): ModelDriver => {
  const driver = new ModelDriver(options).connect("a");
  for (const name of ["a", "b", "c"]) driver.report(reportOf(name));
  return driver;
};

const browsing = (entries: readonly (readonly [string, string])[], readOnly = false) => {
  const map = new Map(entries);
  // One page: the fake's cursors are places in a list, which a delete moves.
  const driver = threePeers({ answer: answersOf(map, 5000), readOnly });
  driver.type("2");
  driver.takeAsked();
  return { driver, map };
};

const changeOf = (key: string, more: Partial<ClusterChange> = {}): ClusterChange => ({
  type: "set",
  key,
  origin: "b.0abc1234567xyz0",
  expiresAtMs: undefined,
  stampMs: 1,
  receivedAtMs: 4,
  ...more,
});

const conflictOf = (id: string, more: Partial<ClusterConflict> = {}): ClusterConflict => ({
  id,
  key: "k",
  atMs: 1,
  why: "later stamp",
  restored: false,
  winner: { value: "w", valueBytes: 1, origin: "b.x", dot: "b.x:2", stampMs: 2 },
  loser: { value: "l", valueBytes: 1, origin: "a.x", dot: id, stampMs: 1 },
  ...more,
});

// ---- The badge ------------------------------------------------------------------------------------------------------------

test("the badge speaks on evidence", () => {
  const badge = (change: (driver: ModelDriver) => void): string => {
    const driver = threePeers();
    change(driver);
    return badgeOf(driver.model).text;
  };
  assert.equal(badgeOf(new ModelDriver().model).text, "no peer answers");
  assert.equal(
    badge(() => undefined),
    "identical",
  );
  assert.equal(
    badge((driver) => driver.report(reportOf("b", { versionVector: { "a.0abc1234567xyz0": 5 } }))),
    "syncing (7 ops behind)",
  );
  assert.equal(
    badge((driver) => driver.report(reportOf("b", { digest: { value: "00", horizon: 1 } }))),
    "DIVERGED",
  );
  assert.equal(
    badge((driver) => driver.report(reportOf("b", { digest: { value: "00", horizon: 2 } }))),
    "identical",
    "the horizons differ, but the peers compared at equal ones",
  );
  assert.equal(
    badge((driver) => {
      const links = [linkOf("a", { verdict: "not-compared" }), linkOf("c")];
      driver.report(reportOf("b", { digest: { value: "00", horizon: 2 }, links }));
    }),
    "comparing",
  );
  assert.equal(
    badge((driver) => driver.report(reportOf("b", { links: [linkOf("a", { verdict: "different" }), linkOf("c")] }))),
    "DIVERGED",
  );
  assert.equal(
    badge((driver) => driver.report(reportOf("a", { links: [linkOf("b", { state: "down" }), linkOf("c")] }))),
    "cut from b",
  );
  assert.equal(
    badge((driver) => driver.report(reportOf("b", { links: [linkOf("a"), linkOf("c", { fault: "send" })] }))),
    "cut b-c",
  );
  assert.equal(
    badge((driver) => driver.event({ type: "silent", name: "c", address: addressOf("c"), why: "refused" })),
    "cut from c",
  );
  assert.equal(
    badge((driver) => {
      driver.report(reportOf("a", { links: [linkOf("b", { state: "down" }), linkOf("c")] }));
      driver.report(reportOf("b", { versionVector: { "a.0abc1234567xyz0": 11 } }));
    }),
    "cut from b (1 op behind)",
  );
});

test("reports that stopped coming prove nothing", () => {
  const driver = threePeers();
  driver.later(6000);
  driver.report(reportOf("a")).report(reportOf("b"));
  assert.equal(badgeOf(driver.model).text, "asking all peers");
});

test("while peers differ one of them is asked how many keys, and not every second", () => {
  const driver = threePeers({
    answer: (words) =>
      words[0] === "DIFF"
        ? {
            map: [
              ["identical", false],
              ["truncated", false],
              ["keys", [{ map: [] }, { map: [] }]],
            ],
          }
        : undefined,
  });
  for (let second = 0; second < 3; second++) {
    driver
      .report(reportOf("a"))
      .report(reportOf("b", { digest: { value: "00", horizon: 1 } }))
      .report(reportOf("c"));
    driver.later(1000);
  }
  assert.equal(badgeOf(driver.model).text, "DIVERGED in 2 keys");
  assert.deepEqual(
    driver.takeAsked().filter((line) => line.startsWith("DIFF")),
    [`DIFF b @${addressOf("a")}`],
  );
});

// ---- Keys -------------------------------------------------------------------------------------------------------------------

test("keys come by SCAN, a page at a time, and more when asked for", () => {
  const map = new Map(Array.from({ length: 1200 }, (_, at) => [`k${at}`, "v"] as const));
  const driver = threePeers({ answer: answersOf(map, 300) });
  assert.equal(driver.model.keys.loaded.length, 600);
  assert.equal(driver.model.keys.scan.state, "idle");
  driver.type("2", "G");
  assert.deepEqual(driver.model.keys.rows.at(-1), { kind: "more" });
  driver.type("\r");
  assert.equal(driver.model.keys.loaded.length, 1200);
  assert.equal(driver.model.keys.scan.state, "done");
  assert(!driver.takeAsked().some((line) => line.startsWith("KEYS")));
});

test("a filter narrows as it is typed; Enter asks the peer for what was not loaded", () => {
  const map = new Map([...Array.from({ length: 900 }, (_, at) => [`k${at}`, "v"] as const), ["needle", "v"] as const]);
  const driver = threePeers({ answer: answersOf(map, 300) });
  driver.type("2", "/", "needle");
  assert.deepEqual(driver.model.keys.rows, [{ kind: "more" }]);
  driver.takeAsked();
  driver.type("\r");
  assert.deepEqual(driver.model.keys.loaded, ["needle"]);
  assert(driver.takeAsked().includes("SCAN 0 MATCH *needle* COUNT 5000"));
  driver.type("\u001b");
  assert.equal(driver.model.keys.pattern, undefined);
  assert(driver.model.keys.loaded.length >= 500);
});

test("one key at a time is asked for, and the one that is selected in the end", () => {
  const map = new Map([
    ["a", "1"],
    ["b", "2"],
    ["c", "3"],
  ]);
  const driver = threePeers({ answer: answersOf(map) });
  const answer = driver.answer;
  driver.answer = () => undefined;
  driver.type("2");
  const first = [...driver.asked];
  driver.type("j", "j");
  assert.equal(driver.asked.length, first.length, "the keys passed on the way are not asked for");
  driver.answer = answer;
  for (const { words, purpose } of driver.asked.splice(0)) {
    const reply = answer(words, undefined);
    if (reply !== undefined) driver.event({ type: "replied", purpose, reply });
  }
  assert.equal(driver.model.keys.preview?.key, "c");
  assert.equal(driver.model.keys.preview?.value, "3");
});

test("an edit keeps the time to live, and needs the key to be there", () => {
  const { driver, map } = browsing([["name", "Oslo"]]);
  driver.type("e", "\u0015", "Bergen\\n", "\r");
  assert(driver.takeAsked().includes("SET name Bergen\n XX KEEPTTL"));
  assert.equal(map.get("name"), "Bergen\n");
});

test("a value that changed since it was opened is not overwritten without a word", () => {
  const { driver, map } = browsing([["name", "Oslo"]]);
  driver.type("e");
  map.set("name", "Tromsø");
  driver.type("x", "\r");
  assert.equal(driver.model.dialog?.kind, "confirm");
  assert.equal(map.get("name"), "Tromsø");
  driver.type("n");
  assert.equal(map.get("name"), "Tromsø");
  driver.type("e", "x", "\r", "y");
  assert.equal(map.get("name"), "Oslox");
});

test("a new key and a new name never displace another", () => {
  const { driver, map } = browsing([
    ["a", "1"],
    ["b", "2"],
  ]);
  driver.type("n", "a", "\r", "other", "\r");
  assert.equal(map.get("a"), "1");
  assert.match(driver.model.notice?.text ?? "", /there is such a key/);
  driver.type("n", "c", "\r", "3", "\r");
  assert.equal(map.get("c"), "3");
  assert.equal(driver.model.keys.preview?.key, "c");
  driver.type("R", "\u0015", "b", "\r");
  assert.equal(map.get("b"), "2");
  driver.type("R", "\u0015", "d", "\r");
  assert.deepEqual([...map.keys()].sort(), ["a", "b", "d"]);
  assert.deepEqual(driver.model.keys.loaded, ["a", "b", "d"]);
});

test("a time to live is set and taken away", () => {
  const { driver } = browsing([["a", "1"]]);
  driver.type("t", "90s", "\r", "t", "none", "\r", "t", "soon", "\r");
  const asked = driver.takeAsked();
  assert(asked.includes("PEXPIRE a 90000"));
  assert(asked.includes("PERSIST a"));
  assert.match(driver.model.dialog?.kind === "input" ? driver.model.dialog.error : "", /expected a time/);
});

test("a delete asks first", () => {
  const { driver, map } = browsing([
    ["a", "1"],
    ["b", "2"],
  ]);
  driver.type("\u0004", "n");
  assert.equal(map.size, 2);
  driver.type("\u0004", "\r");
  assert.equal(map.size, 2, "Enter alone is no yes");
  driver.type("y");
  assert.deepEqual([...map.keys()], ["b"]);
  assert.deepEqual(driver.model.keys.loaded, ["b"]);
});

test("a bulk delete shows the count before it deletes, and deletes what matches", () => {
  const { driver, map } = browsing(
    Array.from({ length: 1500 }, (_, at) => [`${at % 3 === 0 ? "x" : "y"}:${at}`, "v"] as const),
  );
  driver.type("B", "\u0015", "x:*", "\r");
  assert.equal(driver.model.dialog?.kind === "confirm" ? driver.model.dialog.title : "", "Delete 500 keys");
  assert.equal(map.size, 1500);
  driver.type("y");
  assert.equal(map.size, 1000);
  assert.match(driver.model.notice?.text ?? "", /500 deleted/);
  assert(driver.model.keys.loaded.every((key) => key.startsWith("y:")));
});

test("Esc stops a bulk delete that is under way", () => {
  const { driver, map } = browsing(Array.from({ length: 2000 }, (_, at) => [`x:${at}`, "v"] as const));
  driver.type("B", "\u0015", "x:*", "\r");
  const { answer } = driver;
  let batches = 0;
  driver.answer = (words, address) => (words[0] === "UNLINK" && ++batches > 1 ? undefined : answer(words, address));
  driver.type("y", "\u001b");
  assert.equal(driver.model.dialog, undefined);
  assert.equal(map.size, 1500);
});

test("read-only changes nothing, from whatever pane", () => {
  const { driver, map } = browsing([["a", "1"]], true);
  driver.event({ type: "conflicts", conflicts: [conflictOf("a.x:1")] });
  driver.report(reportOf("a", { faultLinks: true }));
  driver.type("e", "n", "R", "t", "B", "\u0004", "y");
  driver.type("4", "r", "y", "1", "c", "h");
  driver.type(":", "set a 2\r", "flushall\r", "conflicts restore x\r", "fault link cut b\r", "nosuch\r");
  assert.deepEqual(
    driver.takeAsked().filter((line) => !/^(SCAN|GETRANGE|STRLEN|PTTL|TRACE)/.test(line)),
    [],
  );
  assert.equal(driver.model.dialog, undefined);
  assert.equal(map.get("a"), "1");
  driver.type("get a\r", "keys *\r", "config get *\r", "client list\r");
  assert.deepEqual(driver.takeAsked(), ["get a", "keys *", "config get *", "client list"]);
});

// ---- Feed, conflicts, links, console --------------------------------------------------------------------------------------------

test("the feed is bounded, pauses, and counts what it did not show", () => {
  const driver = threePeers();
  for (let batch = 0; batch < 30; batch++)
    driver.event({
      type: "changes",
      changes: Array.from({ length: 100 }, (_, at) => changeOf(`k${batch}:${at}`)),
      left: 7,
    });
  const { feed } = driver.model;
  assert.equal(feed.changes.length, tuiFeedChangesMax);
  assert.equal(feed.seen, 3000);
  assert.equal(feed.left, 210);
  driver.type("3", " ");
  driver.event({ type: "changes", changes: [changeOf("later")], left: 5 });
  assert.equal(driver.model.feed.missed, 6);
  assert.notEqual(driver.model.feed.changes.at(-1)?.change.key, "later");
});

test("what changes in the feed is in the list of keys, and an open value is asked for anew", () => {
  const { driver, map } = browsing([["a", "1"]]);
  map.set("b", "2");
  driver.event({
    type: "changes",
    changes: [changeOf("b"), changeOf("gone"), changeOf("gone", { type: "delete" })],
    left: 0,
  });
  assert.deepEqual(driver.model.keys.loaded, ["a", "b"]);
  map.set("a", "changed");
  driver.event({ type: "changes", changes: [changeOf("a")], left: 0 });
  assert.equal(driver.model.keys.preview?.value, "changed");
});

test("a conflict is restored after a question, and shown as restored", () => {
  const driver = threePeers({ answer: (words) => (words[0] === "CONFLICTS" ? { status: "OK" } : undefined) });
  driver.event({ type: "conflicts", conflicts: [conflictOf("a.x:1"), conflictOf("a.x:2")] });
  driver.type("4", "r");
  assert.equal(driver.model.dialog?.kind, "confirm");
  driver.type("y");
  assert(driver.takeAsked().includes("CONFLICTS RESTORE a.x:2"));
  assert.deepEqual(
    driver.model.conflicts.list.map(({ id, restored }) => [id, restored]),
    [
      ["a.x:2", true],
      ["a.x:1", false],
    ],
  );
  driver.event({ type: "conflicts", conflicts: [conflictOf("a.x:3")] });
  assert.equal(driver.model.conflicts.list[0]?.id, "a.x:3");
});

test("a link is cut and healed at the peer whose row is selected", () => {
  const driver = threePeers({ answer: (words) => (words[0] === "FAULT" ? { status: "OK" } : undefined) });
  driver.type("c");
  assert.match(driver.model.notice?.text ?? "", /--fault-links/);
  for (const name of ["a", "b", "c"]) driver.report(reportOf(name, { faultLinks: true }));
  driver.takeAsked();
  driver.type("j", "\u001b[C", ">", "<", "c", "h");
  const at = ` @${addressOf("b")}`;
  assert.deepEqual(driver.takeAsked(), [
    `FAULT LINK CUT c SEND${at}`,
    `FAULT LINK CUT c RECEIVE${at}`,
    `FAULT LINK CUT c BOTH${at}`,
    `FAULT LINK HEAL c BOTH${at}`,
  ]);
});

test("heal takes back what either side cut", () => {
  const driver = threePeers();
  driver.report(reportOf("a", { faultLinks: true }));
  driver.report(reportOf("b", { faultLinks: true, links: [linkOf("a", { fault: "both" }), linkOf("c")] }));
  driver.takeAsked();
  driver.type("h");
  assert.deepEqual(driver.takeAsked(), [
    `FAULT LINK HEAL b BOTH @${addressOf("a")}`,
    `FAULT LINK HEAL a BOTH @${addressOf("b")}`,
  ]);
});

const consoleText = (driver: ModelDriver): string[] => driver.model.console.lines.map(({ text }) => text);

test("the command line runs what is typed and shows typed replies", () => {
  const replies = new Map<string, unknown>([
    ["get", "v"],
    ["incr", 2],
    ["nil", null],
    ["mget", ["a", null, { base64: "/w==" }]],
    [
      "map",
      {
        map: [
          ["f", 1],
          ["g", [1, 2]],
        ],
      },
    ],
    ["set", { status: "OK" }],
    ["bad", { error: { code: "WRONGTYPE", message: "WRONGTYPE no" } }],
  ]);
  const driver = threePeers({ answer: (words) => replies.get(words[0] ?? "") as never });
  driver.type(":", 'get "a b"\r', "incr x\r", "nil\r", "mget a\r", "map\r", "set a b\r", "bad\r", "get 'x\r");
  assert.deepEqual(consoleText(driver), [
    'get "a b"',
    '"v"',
    "incr x",
    "(integer) 2",
    "nil",
    "(nil)",
    "mget a",
    '1) "a"',
    "2) (nil)",
    '3) "\\xff"',
    "map",
    '1# "f" => (integer) 1',
    '2# "g" =>',
    "   1) (integer) 1",
    "   2) (integer) 2",
    "set a b",
    "OK",
    "bad",
    "(error) WRONGTYPE no",
    "get 'x",
    "(error) the quotes do not balance",
  ]);
  assert(driver.takeAsked().includes("get a b"));
});

test("what is dangerous is asked about, passwords are neither shown nor remembered", () => {
  const driver = threePeers();
  driver.takeAsked();
  driver.type(":", "flushall\r");
  assert.equal(
    driver.model.dialog?.kind === "confirm" ? driver.model.dialog.lines[0] : "",
    "deletes all 1,234 keys, at every peer",
  );
  driver.type("n", "shutdown\r", "n", "keys *\r");
  assert.deepEqual(driver.takeAsked(), ["keys *"], "few keys: nobody notices KEYS");
  driver.report(reportOf("a", { keys: 5_000_000 }));
  driver.type("keys *\r");
  assert.equal(driver.model.dialog?.kind, "confirm");
  driver.type("y");
  assert.deepEqual(driver.takeAsked(), ["keys *"]);
  driver.type("auth hunter2hunter2\r");
  assert(!consoleText(driver).some((line) => line.includes("hunter2")));
  assert(!driver.model.console.history.some((line) => line.includes("hunter2")));
});

test("Tab goes through commands, subcommands, keys and words of the syntax; arrows through the history", () => {
  const { driver } = browsing([
    ["user:1", "1"],
    ["user:2", "2"],
    ["two words", "3"],
  ]);
  const line = (): string => driver.model.console.editor.before;
  driver.type(":", "GETR\t");
  assert.equal(line(), "GETRANGE ");
  driver.type("use\t");
  assert.equal(line(), "GETRANGE user:1");
  driver.type("\t");
  assert.equal(line(), "GETRANGE user:2");
  driver.type("\u001b[Z");
  assert.equal(line(), "GETRANGE user:1");
  driver.type("\u0015", "client li\t");
  assert.equal(line(), "client LIST ");
  driver.type("\u0015", "set user:1 v keep\t");
  assert.equal(line(), "set user:1 v KEEPTTL ");
  driver.type("\u0015", 'get "two\t');
  driver.type("\u0015", "ping\r", "get user:1\r", "draft", "\u001b[A", "\u001b[A");
  assert.equal(line(), "ping");
  driver.type("\u001b[B", "\u001b[B");
  assert.equal(line(), "draft");
});

test("Esc leads back to where one was, q quits, and typed text is never a key", () => {
  const { driver } = browsing([["a", "1"]]);
  driver.type(":", "q:?12", "\u001b", "\u001b");
  assert.equal(driver.model.pane, "keys");
  assert.equal(driver.model.quits, false);
  driver.type("?", "q");
  assert.equal(driver.model.quits, false, "q closes the help");
  driver.type("\t", "\t", "\t", "\t");
  assert.equal(driver.model.pane, "peers");
  driver.type("\u001b[200~q\u001b[201~");
  assert.equal(driver.model.quits, false, "a paste is text");
  driver.type("q");
  assert.equal(driver.model.quits, true);
});

test("another peer has other cursors: after a failover the scan starts anew and keeps what is loaded", () => {
  const map = new Map(Array.from({ length: 900 }, (_, at) => [`k${at}`, "v"] as const));
  const driver = threePeers({ answer: answersOf(map, 300) });
  driver.takeAsked();
  driver.event({ type: "disconnected", why: "closed" });
  driver.connect("b");
  assert(driver.takeAsked().includes("SCAN 0 COUNT 500"));
  assert(driver.model.keys.loaded.length >= 600);
});
