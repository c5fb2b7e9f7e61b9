/** What a peer says about itself and the others: HELP, INFO, CONFIG, CLIENT, PEERS, CONFLICTS, TRACE, DIGEST, DIFF. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { commands } from "../../protocol/commands.ts";
import { parsePeerName } from "../../protocol/words.ts";
import type { ConflictReport } from "../../server/commands/session.ts";
import { linkFaultControl } from "../../server/link-faults.ts";
import { LinkFaults } from "../../server/links/index.ts";
import { fakePeerWithCommands } from "../support/fake-host.ts";
import { parseReply } from "../support/parse-reply.ts";

const conflict: ConflictReport = {
  id: "a1b2c3",
  key: "city",
  atMs: 1_700_000_000_000,
  winner: { value: "Oslo", dot: "b.000000000000001:7", stampMs: 1_700_000_000_000, origin: "b.000000000000001" },
  loser: { value: "Rome", dot: "a.000000000000001:3", stampMs: 1_699_999_999_999, origin: "a.000000000000001" },
  why: "later stamp",
  restored: false,
};

describe("HELP", () => {
  test("in plain text lists the groups, and is read by a person", async () => {
    const text = await fakePeerWithCommands().client(0).line("HELP");
    assert.match(text, /^Chorus: a replicated map/);
    assert.match(text, /@string +Strings and counters: SET GET/);
    for (const line of text.split("\n")) assert.ok(line.length <= 100, line);
  });

  test("of every command tells syntax, summary and meaning, in every dialect", async () => {
    const peer = fakePeerWithCommands();
    for (const protocol of [0, 2, 3] as const) {
      const client = peer.client(protocol);
      for (const command of commands) {
        const text = await client.line(`HELP ${command.name}`);
        assert.ok(text.includes(command.name.toUpperCase()) && text.includes("Across peers:"), text);
      }
    }
  });

  test("of a subcommand and of a group", async () => {
    const client = fakePeerWithCommands().client(0);
    assert.match(await client.line("HELP CLIENT LIST"), /^CLIENT LIST \[TYPE/);
    assert.match(await client.line("help @transactions"), /^MULTI\n {4}Begins a transaction/);
    assert.match(await client.line("INCR"), /^ERR wrong number/);
    assert.equal(await client.line("HELP @nosuch"), "ERR no group '@nosuch', try HELP\n");
    assert.equal(await client.line("HELP nosuch"), "ERR no command 'nosuch', try HELP\n");
  });

  test("of containers names the subcommands we have", async () => {
    const client = fakePeerWithCommands().client(2);
    for (const name of ["CLIENT", "COMMAND", "CONFIG", "OBJECT", "MEMORY"]) {
      const lines = parseReply(await client.line(`${name} HELP`)) as readonly string[];
      assert.match(lines[0] ?? "", new RegExp(`^${name} <subcommand>`));
      assert.ok(lines.includes("HELP"));
    }
  });
});

describe("FAULT", () => {
  test("without --fault-links says so, and changes nothing", async () => {
    const client = fakePeerWithCommands().client(2);
    const refusal = "-ERR FAULT is for peers started with --fault-links, which this one was not\r\n";
    for (const line of ["FAULT LINK LIST", "fault link cut b", "FAULT LINK HEAL b BOTH"])
      assert.equal(await client.line(line), refusal);
    assert.match(await client.line("FAULT HELP"), /FAULT <subcommand>/);
  });

  test("cuts, heals and lists directions of links by name", async () => {
    const peer = fakePeerWithCommands();
    const [b, c] = [parsePeerName("b"), parsePeerName("c")];
    assert.ok(b !== undefined && c !== undefined);
    const told: string[] = [];
    const onChange = (name: string, fault: string): number => told.push(`${name} ${fault}`);
    peer.host.linkFaults = linkFaultControl({ faults: new LinkFaults(), others: [b, c], onChange });
    const client = peer.client(0);
    const rounds: readonly (readonly [line: string, reply: string])[] = [
      ["FAULT LINK LIST", '1# "b" => "none"\n2# "c" => "none"\n'],
      ["FAULT LINK CUT b SEND", "OK\n"],
      ["fault link cut b receive", "OK\n"],
      ["FAULT LINK CUT c", "OK\n"],
      ["FAULT LINK LIST", '1# "b" => "both"\n2# "c" => "both"\n'],
      ["FAULT LINK HEAL b SEND", "OK\n"],
      ["FAULT LINK HEAL c BOTH", "OK\n"],
      ["FAULT LINK LIST", '1# "b" => "receive"\n2# "c" => "none"\n'],
      ["FAULT LINK CUT a", "ERR no other peer 'a' in this cluster\n"],
      ["FAULT LINK CUT", "ERR syntax error\n"],
      ["FAULT LINK CUT b SIDEWAYS", "ERR syntax error\n"],
      ["FAULT LINK LIST b", "ERR syntax error\n"],
      ["FAULT LINK", "ERR wrong number of arguments for 'fault|link' command\n"],
    ];
    for (const [line, reply] of rounds) assert.equal(await client.line(line), reply, line);
    assert.deepEqual(told, ["b send", "b both", "c both", "b receive", "c none"]);
  });
});

describe("INFO", () => {
  test("gives the peer's sections in order, with CRLF", async () => {
    const client = fakePeerWithCommands().client(2);
    await client.line("SET a 1");
    const text = parseReply(await client.line("INFO")) as string;
    assert.match(text, /^# Server\r\nredis_version:7\.4\.0\r\n/);
    assert.match(text, /\r\n\r\n# Clients\r\nconnected_clients:1\r\n/);
    assert.match(text, /# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n$/);
  });

  test("gives the sections asked for, in any case; everything has all", async () => {
    const client = fakePeerWithCommands().client(3);
    assert.equal(parseReply(await client.line("INFO replication")), "# Replication\r\nrole:master\r\n");
    const two = parseReply(await client.line("info CLIENTS Replication")) as string;
    assert.match(two, /^# Clients[^#]*# Replication[^#]*$/);
    assert.equal(await client.line("INFO everything"), await client.line("INFO"));
    assert.match(await client.line("INFO replication"), /^=32\r\ntxt:# Replication/);
  });
});

describe("CONFIG GET", () => {
  test("answers what redis-benchmark asks for", async () => {
    const client = fakePeerWithCommands().client(2);
    assert.equal(await client.line("CONFIG GET save"), "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
    assert.equal(await client.line("CONFIG GET appendonly"), "*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n");
  });

  test("takes several patterns, each name once, as a map in RESP3", async () => {
    const client = fakePeerWithCommands().client(3);
    const found = parseReply(await client.line("CONFIG GET *max* MAXMEMORY data*"));
    assert.deepEqual(
      found,
      new Map([
        ["maxmemory", "0"],
        ["databases", "1"],
        ["slowlog-max-len", "128"],
      ]),
    );
  });
});

describe("connections", () => {
  test("CLIENT LIST has a line for each, with the fields tools look for", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client(2);
    const other = peer.client(3);
    await client.line("CLIENT SETNAME worker");
    await client.line("CLIENT SETINFO lib-name ioredis");
    await client.line("CLIENT SETINFO LIB-VER 6.0.0");
    await other.line("MULTI");
    await other.line("GET a");
    const lines = (parseReply(await client.line("CLIENT LIST")) as string).trimEnd().split("\n");
    assert.equal(lines.length, 2);
    assert.match(lines[0] ?? "", / name=worker age=\d+ idle=\d+ flags=N .* multi=-1 .* cmd=client\|list .* resp=2 /);
    assert.match(lines[0] ?? "", / lib-name=ioredis lib-ver=6\.0\.0$/);
    assert.match(lines[1] ?? "", / flags=x .* multi=1 .* resp=3 /);
    const one = parseReply(await client.line(`CLIENT LIST ID ${other.session.id}`)) as string;
    assert.match(one, new RegExp(`^id=${other.session.id} addr=${other.session.address} laddr=`));
    assert.match(await other.line("DISCARD"), /OK/);
    assert.match(await other.line("CLIENT INFO"), /^=\d+\r\ntxt:id=/);
  });

  test("CLIENT SETINFO refuses what would break the line", async () => {
    const client = fakePeerWithCommands().client(2);
    assert.match(await client.send(["CLIENT", "SETINFO", "lib-name", "a b"]), /^-ERR lib-name cannot contain spaces/);
    assert.match(await client.send(["CLIENT", "SETNAME", "a\nb"]), /^-ERR Client names cannot contain spaces/);
    assert.match(await client.send(["CLIENT", "SETNAME", "a".repeat(2000)]), /^-ERR /);
    assert.match(await client.send(["CLIENT", "SETINFO", "nosuch", "x"]), /^-ERR Unrecognized option 'nosuch'/);
  });

  test("CLIENT KILL ends others at once and itself behind the answer", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client(2);
    const [second, third] = [peer.client(2), peer.client(2)];
    assert.equal(await client.line(`CLIENT KILL ${second.session.address}`), "+OK\r\n");
    assert.deepEqual(peer.host.killed, [second.session]);
    assert.equal(await client.line(`CLIENT KILL ID ${third.session.id} TYPE normal`), ":1\r\n");
    assert.equal(await client.line(`CLIENT KILL ID ${client.session.id}`), ":0\r\n");
    assert.equal(client.session.closing, false);
    assert.equal(await client.line(`CLIENT KILL ID ${client.session.id} SKIPME no`), ":1\r\n");
    assert.equal(client.session.closing, true);
    assert.equal(peer.host.killed.length, 2);
  });

  test("HELLO answers the map that clients read and switches the dialect", async () => {
    const client = fakePeerWithCommands().client(2);
    assert.match(await client.line("HELLO"), /^\*14\r\n/);
    const hello = parseReply(await client.line("HELLO 3 SETNAME me")) as ReadonlyMap<string, unknown>;
    assert.deepEqual(Object.fromEntries(hello), {
      server: "redis",
      version: "7.4.0",
      proto: 3,
      id: client.session.id,
      mode: "standalone",
      role: "master",
      modules: [],
    });
    assert.equal(client.session.name, "me");
    assert.equal(await client.line("GET none"), "_\r\n");
    await client.line("RESET");
    assert.equal(await client.line("GET none"), "$-1\r\n");
  });

  test("RESET of a plain connection stays plain, and QUIT closes behind its answer", async () => {
    const client = fakePeerWithCommands().client(0);
    assert.equal(await client.line("RESET"), "RESET\n");
    assert.equal(await client.line("QUIT"), "OK\n");
    assert.equal(client.session.closing, true);
  });

  test("SHUTDOWN stops the peer without an answer, unless its options conflict", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client(2);
    assert.equal(await client.line("SHUTDOWN SAVE NOSAVE"), "-ERR syntax error\r\n");
    assert.equal(await client.line("SHUTDOWN nosuch"), "-ERR syntax error\r\n");
    assert.equal(await client.line("SHUTDOWN ABORT"), "-ERR No shutdown in progress.\r\n");
    assert.equal(peer.host.shutdowns, 0);
    assert.equal(await client.line("SHUTDOWN NOSAVE"), "");
    assert.equal(peer.host.shutdowns, 1);
    assert.equal(client.session.closing, true);
  });

  test("TIME is the peer's clock", async () => {
    const peer = fakePeerWithCommands();
    peer.host.clockMs = 1_700_000_000_123;
    assert.deepEqual(parseReply(await peer.client(2).line("TIME")), ["1700000000", "123000"]);
  });

  test("commands of Redis that Chorus does not have are unknown, in Redis's words", async () => {
    const client = fakePeerWithCommands().client(2);
    for (const name of ["SYNC", "PSYNC", "REPLICAOF", "SLAVEOF", "SSUBSCRIBE", "LPUSH", "EVAL", "DEBUG"]) {
      assert.match(
        await client.line(`${name} a`),
        new RegExp(`^-ERR unknown command '${name}', with args beginning with: 'a' `),
      );
    }
  });
});

describe("commands about the other peers", () => {
  test("WAIT waits for this connection's last write", async () => {
    const peer = fakePeerWithCommands();
    const [client, other] = [peer.client(2), peer.client(2)];
    await client.line("SET a 1");
    await other.line("SET b 1");
    assert.equal(await client.line("WAIT 2 500"), ":2\r\n");
    await other.line("GET b");
    assert.equal(await other.line("WAIT 1 0"), ":2\r\n");
    assert.deepEqual(peer.host.waits, [
      [1, 2, 500],
      [2, 1, 0],
    ]);
    assert.equal(peer.execute.stats.blocked, 0);
  });

  test("PEERS is an array of maps, readable in nc", async () => {
    const peer = fakePeerWithCommands();
    const reports = parseReply(await peer.client(3).line("PEERS")) as readonly ReadonlyMap<string, unknown>[];
    assert.deepEqual(
      reports.map((report) => report.get("name")),
      ["a", "b", "c"],
    );
    assert.equal(reports[1]?.get("rtt-ms"), 0.25);
    assert.equal(reports[0]?.get("rtt-ms"), null);
    assert.equal(reports[0]?.get("self"), true);
    assert.match(await peer.client(0).line("PEERS"), /"name" => "a"\n.*"self" => \(true\)/);
  });

  test("CONFLICTS lists all, of a key, or so many", async () => {
    const peer = fakePeerWithCommands();
    peer.host.conflictReports = [
      conflict,
      { ...conflict, id: "d4", key: "count", loser: { ...conflict.loser, value: undefined } },
    ];
    const client = peer.client(3);
    const list = async (line: string): Promise<readonly ReadonlyMap<string, unknown>[]> =>
      parseReply(await client.line(line)) as readonly ReadonlyMap<string, unknown>[];
    assert.equal((await list("CONFLICTS")).length, 2);
    assert.equal((await list("CONFLICTS COUNT 1")).length, 1);
    assert.equal((await list("CONFLICTS city COUNT 5")).length, 1);
    assert.equal((await list("CONFLICTS RESTORE")).length, 0);
    assert.equal((await list("CONFLICTS count"))[0]?.get("loser"), null);
    const [found] = await list("CONFLICTS city");
    assert.deepEqual(Object.fromEntries(found ?? []), {
      id: "a1b2c3",
      key: "city",
      at: "2023-11-14T22:13:20.000Z",
      why: "later stamp",
      winner: "Oslo",
      "winner-dot": "b.000000000000001:7",
      "winner-origin": "b.000000000000001",
      "winner-at": "2023-11-14T22:13:20.000Z",
      loser: "Rome",
      "loser-dot": "a.000000000000001:3",
      "loser-origin": "a.000000000000001",
      "loser-at": "2023-11-14T22:13:19.999Z",
      restored: false,
    });
    assert.equal(await client.line("CONFLICTS city COUNT x"), "-ERR value is not an integer or out of range\r\n");
    assert.equal(await client.line("CONFLICTS a b c d"), "-ERR syntax error\r\n");
  });

  test("CONFLICTS RESTORE writes the loser back, where the peer takes writes", async () => {
    const peer = fakePeerWithCommands();
    peer.host.conflictReports = [conflict];
    const client = peer.client(2);
    peer.host.refusesWrites = "CLOCKSKEW off";
    assert.equal(await client.line("CONFLICTS RESTORE a1b2c3"), "-CLOCKSKEW off\r\n");
    peer.host.refusesWrites = undefined;
    assert.equal(await client.line("CONFLICTS restore a1b2c3"), "+OK\r\n");
    assert.equal(await client.line("GET city"), "$4\r\nRome\r\n");
    assert.equal(client.session.lastWriteSeq, 1);
    assert.match(await client.line("CONFLICTS RESTORE nosuch"), /^-ERR no such conflict/);
  });

  test("TRACE tells who holds a key, nil where there is none", async () => {
    const peer = fakePeerWithCommands();
    peer.host.traceReport = {
      key: "city",
      state: "live",
      origin: "b.000000000000001",
      dot: "b.000000000000001:7",
      stampMs: 1_700_000_000_000,
      ageMs: 1500,
      expiresAtMs: 0,
      holders: [
        { peer: "a", holds: "durable" },
        { peer: "c", holds: "not-yet" },
      ],
    };
    const client = peer.client(3);
    const traced = parseReply(await client.line("TRACE city")) as ReadonlyMap<string, unknown>;
    assert.equal(traced.get("written-at"), "2023-11-14T22:13:20.000Z");
    assert.equal(traced.get("expires-at"), null);
    assert.deepEqual(
      traced.get("holders"),
      new Map([
        ["a", "durable"],
        ["c", "not-yet"],
      ]),
    );
    assert.equal(await client.line("TRACE none"), "_\r\n");
    peer.host.traceReport = { ...peer.host.traceReport, expiresAtMs: Number.MAX_SAFE_INTEGER };
    const far = parseReply(await client.line("TRACE city")) as ReadonlyMap<string, unknown>;
    assert.equal(far.get("expires-at"), Number.MAX_SAFE_INTEGER);
  });

  test("DIGEST and DIFF answer maps; DIFF of an unknown peer is the peer's error line", async () => {
    const peer = fakePeerWithCommands();
    const client = peer.client(3);
    const digest = parseReply(await client.line("DIGEST")) as ReadonlyMap<string, unknown>;
    assert.deepEqual([...digest.keys()], ["digest", "keys", "version-vector", "peers"]);
    assert.equal(await client.line("DIFF nosuch"), "-ERR no peer 'nosuch'\r\n");
    peer.host.diffResult = Promise.resolve({
      identical: false,
      truncated: false,
      keys: [{ key: "city", here: "Oslo", there: "(absent)" }],
    });
    const diff = parseReply(await client.line("DIFF b")) as ReadonlyMap<string, unknown>;
    assert.equal(diff.get("identical"), false);
    assert.deepEqual(diff.get("keys"), [
      new Map([
        ["key", "city"],
        ["here", "Oslo"],
        ["there", "(absent)"],
      ]),
    ]);
  });
});
