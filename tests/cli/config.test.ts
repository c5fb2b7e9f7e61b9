import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { strongPrefixBytesMax, strongPrefixesMax } from "../../protocol/limits.ts";
import { CommandFailure, didYouMean } from "../../server/cli/failure.ts";
import { parseSize, sizeToText } from "../../server/cli/sizes.ts";
import {
  type ConfigSources,
  configTable,
  loadConfig,
  type PeerConfig,
  printedConfig,
  settingDescriptions,
} from "../../server/config.ts";
import { isLoopback, parseHostPort } from "../../server/settings.ts";
import { tempDirectory } from "../support/processes.ts";

type Flags = ConfigSources["flags"];

const load = (flags: Flags, env: Record<string, string> = {}): PeerConfig => loadConfig({ flags, env }).config;

const sourceOf = (flag: string, flags: Flags, env: Record<string, string>): string => {
  const row = loadConfig({ flags, env }).report.find((entry) => entry.flag === flag);
  return `${row?.value} from ${row?.source}`;
};

const refusal = (flags: Flags, env: Record<string, string> = {}): string => {
  try {
    load(flags, env);
  } catch (error) {
    assert(error instanceof CommandFailure, String(error));
    assert.equal(error.exitCode, 2);
    assert(!error.message.includes("\n"), "one line");
    return error.message;
  }
  return "accepted";
};

const three = "a=127.0.0.1:6001,b=127.0.0.1:6002,c=127.0.0.1:6003";

describe("where a value comes from", () => {
  test("flags beat the environment, the environment beats the file, the file beats the default", (t) => {
    const file = join(tempDirectory(t), "chorus.json");
    writeFileSync(file, '{"tcp": 7003, "fsync": "never", "max-memory": "64mb"}');
    const env = { CHORUS_TCP: "7002", CHORUS_FSYNC: "always", CHORUS_CONFIG: file };
    assert.equal(sourceOf("tcp", { tcp: "7001" }, env), "7001 from flag --tcp");
    assert.equal(sourceOf("tcp", {}, env), "7002 from environment CHORUS_TCP");
    assert.equal(sourceOf("fsync", {}, { CHORUS_CONFIG: file }), `never from file ${file}`);
    assert.equal(sourceOf("max-memory", {}, env), `64mb from file ${file}`);
    assert.equal(sourceOf("acks", {}, env), "0 from default");
  });

  test("origins come from a repeated flag, by commas, and as an array in the file", (t) => {
    const file = join(tempDirectory(t), "chorus.json");
    writeFileSync(file, '{"allow-origin": ["https://one.example", "*"]}');
    assert.deepEqual(load({}, { CHORUS_CONFIG: file }).allowOrigins, ["https://one.example", "*"]);
    assert.deepEqual(load({ allowOrigin: ["https://A.example", "http://b.example:8080"] }).allowOrigins, [
      "https://a.example",
      "http://b.example:8080",
    ]);
    assert.equal(
      sourceOf("allow-origin", {}, { CHORUS_ALLOW_ORIGIN: "http://a.example,*" }),
      "http://a.example,* from environment CHORUS_ALLOW_ORIGIN",
    );
    assert.deepEqual(load({}).allowOrigins, []);
    for (const bad of ["app.example", "https://app.example/", "https://app.example/x", "null", "http://a.example:80"]) {
      assert.match(refusal({ allowOrigin: bad }), /expected origins such as/, bad);
    }
  });

  test("prefixes of strong keys come from a repeated flag, by commas, and as an array in the file, in no order", (t) => {
    const file = join(tempDirectory(t), "chorus.json");
    writeFileSync(file, '{"strong-prefix": ["lock:", "id:"], "strong-timeout": 500}');
    assert.deepEqual(load({}).strongPrefixes, ["strong:"]);
    assert.deepEqual(load({ strongPrefix: ["lock:", "id:", "lock:"] }).strongPrefixes, ["id:", "lock:"]);
    assert.deepEqual(load({ strongPrefix: "lock:,id:" }).strongPrefixes, ["id:", "lock:"]);
    assert.deepEqual(load({}, { CHORUS_CONFIG: file }).strongPrefixes, ["id:", "lock:"]);
    assert.equal(load({}, { CHORUS_CONFIG: file }).strongTimeoutMs, 500);
    assert.equal(sourceOf("strong-prefix", { strongPrefix: "b:,a:" }, {}), "a:,b: from flag --strong-prefix");
    assert.equal(
      sourceOf("strong-prefix", {}, { CHORUS_STRONG_PREFIX: "b:" }),
      "b: from environment CHORUS_STRONG_PREFIX",
    );
    const many = Array.from({ length: strongPrefixesMax + 1 }, (_, index) => `p${index}:`).join(",");
    assert.match(refusal({ strongPrefix: many }), new RegExp(`expected 1 to ${strongPrefixesMax} prefixes`));
    for (const bad of ["", "a:,", "a b", "ü:", "x".repeat(strongPrefixBytesMax + 1)]) {
      assert.match(refusal({ strongPrefix: bad }), /--strong-prefix.*expected 1 to \d+ printable ASCII/, bad);
    }
    for (const bad of ["0", "49", "60001", "x"]) assert.match(refusal({ strongTimeout: bad }), /--strong-timeout/, bad);
  });

  test("--config beats CHORUS_CONFIG", (t) => {
    const directory = tempDirectory(t);
    writeFileSync(join(directory, "one.json"), '{"acks": 1}');
    const flags = { config: join(directory, "one.json"), name: "a", peers: three };
    assert.equal(load(flags, { CHORUS_CONFIG: join(directory, "none.json") }).acks, 1);
  });

  test("an empty variable counts as unset", () => {
    assert.equal(load({}, { CHORUS_TCP: "" }).tcpPort, 5001);
  });

  test("a list of peers and a file of peers: the stronger source stands, equal sources are a mistake", (t) => {
    const file = join(tempDirectory(t), "peers.txt");
    writeFileSync(file, "# ours\na=10.0.0.1:6001\n\nb=10.0.0.2:6001  # the second\n");
    const fromFile = load({ name: "b", peersFile: file });
    assert.deepEqual(
      fromFile.peers.map(({ name, host, port }) => `${name} ${host} ${port}`),
      ["a 10.0.0.1 6001", "b 10.0.0.2 6001"],
    );
    assert.equal(load({ name: "b", peers: three }, { CHORUS_PEERS_FILE: file }).peers.length, 3);
    assert.equal(load({ name: "b", peersFile: file }, { CHORUS_PEERS: three }).peers.length, 2);
    assert.match(refusal({ name: "b", peers: three, peersFile: file }), /flag --peers and flag --peers-file exclude/);
  });

  test("a peer takes its HTTP port and its address from its own entry", () => {
    const config = load({ name: "b", peers: "a=db1:6001,b=db2:6100" });
    assert.equal(config.httpPort, 6100);
    assert.deepEqual(config.advertise, { host: "db2", port: 6100 });
    assert.equal(load({ name: "b", peers: "a=db1:6001,b=db2:6100", http: "6002" }).httpPort, 6002);
  });

  test("without anything it is one peer alone, on loopback", () => {
    const config = load({});
    assert.deepEqual(
      [config.name, config.bind, config.tcpPort, config.httpPort, config.dataDirectory, config.peers.length],
      ["a", "127.0.0.1", 5001, 6001, "./data/a", 1],
    );
  });

  test("--print-config shows every setting once, and variables that mean nothing", () => {
    const loaded = loadConfig({ flags: { tcp: "7001" }, env: { CHORUS_TPC: "1", CHORUS_PORT_5001_TCP_ADDR: "x" } });
    const lines = printedConfig(loaded).trimEnd().split("\n");
    for (const { flag } of settingDescriptions)
      assert.equal(lines.filter((line) => line.startsWith(`${flag} `)).length, 1, flag);
    assert(lines.some((line) => /^tcp +7001 +flag --tcp$/.test(line)));
    assert(lines.includes("ignored: environment CHORUS_TPC (did you mean CHORUS_TCP?)"));
  });

  test("every setting is in the table of the documents", () => {
    for (const { flag, variable } of settingDescriptions)
      assert(configTable().includes(`| \`--${flag}`) && configTable().includes(`\`${variable}\``), flag);
  });
});

describe("what is refused, and in which words", () => {
  const cases: readonly (readonly [flags: Flags, words: RegExp])[] = [
    [{ tcp: "x" }, /^flag --tcp: expected a port, 0 to 65535, got "x"$/],
    [{ tcp: "65536" }, /^flag --tcp: expected a port/],
    [{ tcp: "6001" }, /--tcp and --http are both 6001/],
    [{ fsync: "sometimes" }, /^flag --fsync: expected one of always, interval, never, got "sometimes"$/],
    [{ name: "a b" }, /^flag --name: expected 1 to 32 of/],
    [{ name: "d", peers: three }, /--name d is not among the peers a, b, c/],
    [{ peers: three }, /--name is missing: which of a, b, c is this peer\?/],
    [{ name: "a", peers: "a=1.2.3.4" }, /^flag --peers: expected name=host:port, not "a=1.2.3.4"/],
    [{ name: "a", peers: "a=h:1,a=h:2" }, /peer a is listed twice/],
    [{ name: "a", peers: "a=h:1,b=h:1" }, /peers a and b have one address, h:1/],
    [{ name: "a", peers: "," }, /expected at least one name=host:port/],
    [{ name: "a", peers: three, acks: "3" }, /--acks 3 can never be met: there are 2 other peers/],
    [{ acks: "-1" }, /^flag --acks: expected a whole number, 0 to 63/],
    [{ maxMemory: "lots" }, /^flag --max-memory: expected a size such as 512mb or 1gb/],
    [{ logRetention: "1kb" }, /at least 64kb, got "1kb"/],
    [{ maxClockSkew: "0" }, /^flag --max-clock-skew: expected a whole number, 1 to/],
    [{ bind: "everywhere" }, /expected an IP address or localhost/],
    [{ bind: "0.0.0.0" }, /needs both --secret-file and --password-file; Chorus has no TLS/],
    [{ advertise: "db2" }, /^flag --advertise: expected host:port/],
    [{ config: "/nonexistent/c.json" }, /^--config: ENOENT/],
    [{ peersFile: "/nonexistent/p", name: "a" }, /^--peers-file: ENOENT/],
    [{ secretFile: "/nonexistent/s" }, /^--secret-file: ENOENT/],
  ];
  for (const [flags, words] of cases)
    test(JSON.stringify(flags), () => {
      assert.match(refusal(flags), words);
    });

  test("a bad variable is named as one", () => {
    assert.match(
      refusal({}, { CHORUS_BOOTSTRAP: "maybe" }),
      /^environment CHORUS_BOOTSTRAP: expected yes or no, got "maybe"$/,
    );
  });

  test("a file that is not JSON, not an object, or has an unknown key", (t) => {
    const config = join(tempDirectory(t), "chorus.json");
    writeFileSync(config, "{tcp: 1}");
    assert.match(refusal({ config }), /is not JSON/);
    writeFileSync(config, "[]");
    assert.match(refusal({ config }), /expected an object/);
    writeFileSync(config, '{"tpc": 1}');
    assert.match(refusal({ config }), /unknown setting "tpc" \(did you mean tcp\?\)/);
    writeFileSync(config, '{"tcp": true}');
    assert.match(refusal({ config }), /^file .*: expected a port, 0 to 65535, got true$/);
  });
});

describe("secret files", () => {
  const secret = "0123456789abcdef0123456789abcdef";

  test("one that group or others can read is refused before it is read", (t) => {
    const file = join(tempDirectory(t), "secret");
    writeFileSync(file, secret);
    for (const mode of [0o640, 0o604, 0o660, 0o620, 0o601]) {
      chmodSync(file, mode);
      assert.match(
        refusal({ secretFile: file }),
        new RegExp(`can be read by others \\(mode ${mode.toString(8)}\\); chmod 600`),
      );
      assert.match(refusal({ passwordFile: file }), /chmod 600/);
    }
    for (const mode of [0o600, 0o400]) {
      chmodSync(file, mode);
      assert.deepEqual(load({ secretFile: file }).secrets, [Buffer.from(secret)]);
    }
  });

  test("both open the network, and never show in what is printed or answered", (t) => {
    const directory = tempDirectory(t);
    const [secretFile, passwordFile] = [join(directory, "secret"), join(directory, "password")];
    writeFileSync(secretFile, `${secret}\n`, { mode: 0o600 });
    writeFileSync(passwordFile, "correct horse\n", { mode: 0o600 });
    assert.match(refusal({ bind: "0.0.0.0", secretFile }), /needs both/);
    const loaded = loadConfig({ flags: { bind: "0.0.0.0", secretFile, passwordFile }, env: {} });
    assert.deepEqual(loaded.config.secrets, [Buffer.from(secret)]);
    assert.equal(loaded.config.password, "correct horse");
    const shown = printedConfig(loaded) + [...loaded.config.parameters].join();
    assert(!shown.includes(secret) && !shown.includes("correct horse"));
  });

  test("too short, and more lines than have a use: one password, two secrets while one replaces the other", (t) => {
    const file = join(tempDirectory(t), "secret");
    writeFileSync(file, "short\n", { mode: 0o600 });
    assert.match(refusal({ secretFile: file }), /a secret of 5 bytes is too short, at least 16/);
    assert.match(refusal({ passwordFile: file }), /a password of 5 bytes, expected 8 to 1024/);
    writeFileSync(file, `${secret}\n${secret}\n`);
    assert.equal(load({ secretFile: file }).secrets.length, 2);
    assert.match(refusal({ passwordFile: file }), /more than one line/);
    writeFileSync(file, `${secret}\n${secret}\n${secret}\n`);
    assert.match(refusal({ secretFile: file }), /3 lines, limit 2/);
  });
});

describe("small parsers", () => {
  test("sizes are Redis's: k is 1000, kb is 1024", () => {
    const cases: readonly (readonly [text: string, bytes: number | undefined])[] = [
      ["0", 0],
      ["1k", 1000],
      ["1kb", 1024],
      ["1.5GB", 1.5 * 1024 ** 3],
      ["512 mb", 512 * 1024 ** 2],
      ["10b", 10],
      ["", undefined],
      ["-1", undefined],
      ["1x", undefined],
      ["mb", undefined],
      ["9999999tb", undefined],
    ];
    for (const [text, bytes] of cases) assert.equal(parseSize(text), bytes, text);
    for (const bytes of [0, 1, 1023, 1024, 1536, 1024 ** 3, 5 * 1024 ** 2 + 1])
      assert.equal(parseSize(sizeToText(bytes)), bytes);
  });

  test("addresses", () => {
    assert.deepEqual(parseHostPort("[::1]:6001"), { host: "::1", port: 6001 });
    assert.deepEqual(parseHostPort("db-1.example:1"), { host: "db-1.example", port: 1 });
    for (const bad of ["", "host", "host:", ":1", "h:0", "h:65536", "::1:6001", "[x]:1", "a b:1", "h:1x"])
      assert.equal(parseHostPort(bad), undefined, bad);
  });

  test("loopback is 127.0.0.0/8, ::1 and localhost, and nothing else", () => {
    for (const address of ["127.0.0.1", "127.255.0.1", "::1", "localhost"]) assert(isLoopback(address), address);
    for (const address of ["0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "::2", "example"])
      assert(!isLoopback(address), address);
  });

  test("a guess is made only when it is near", () => {
    assert.equal(didYouMean("stauts", ["status", "peer"]), " (did you mean status?)");
    assert.equal(didYouMean("zebra", ["status", "peer"]), "");
  });
});

test("CONFIG GET has Redis's names beside ours", () => {
  const { parameters } = load({ maxMemory: "1mb", fsync: "interval" });
  const shown = ["save", "appendonly", "appendfsync", "maxmemory", "max-memory", "port", "requirepass"].map((name) =>
    parameters.get(name),
  );
  assert.deepEqual(shown, ["", "yes", "everysec", "1048576", "1mb", "5001", ""]);
});
