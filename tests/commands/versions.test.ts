/** VERSION, SET IFVERSION, DEL only if: what one peer judges, and that no word of Redis changed its meaning by it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type FakeClient, fakePeerWithCommands } from "../support/fake-host.ts";
import { parseReply } from "../support/parse-reply.ts";

const newClient = (): FakeClient => fakePeerWithCommands().client();
const ask = async (client: FakeClient, line: string): Promise<unknown> => parseReply(await client.line(line));

test("a version changes with every write and is nil when there is no key", async () => {
  const client = newClient();
  assert.equal(await client.line("VERSION a"), "$-1\r\n");
  const seen = new Set<unknown>();
  for (const line of ["SET a 1", "SET a 1", "INCR a", "EXPIRE a 100", "APPEND a x"]) {
    await client.line(line);
    const version = await ask(client, "VERSION a");
    assert.equal(await ask(client, "VERSION a"), version, "reading changes nothing");
    seen.add(version);
  }
  assert.equal(seen.size, 5);
  await client.line("DEL a");
  assert.equal(await client.line("VERSION a"), "$-1\r\n");
});

test("VERSION WITHVALUE answers version, value and expiry together", async () => {
  const client = newClient();
  assert.equal(await client.line("VERSION a WITHVALUE"), "$-1\r\n");
  await client.line("SET a one");
  assert.deepEqual(await ask(client, "version a withvalue"), [await ask(client, "VERSION a"), "one", -1]);
  await client.line("PEXPIREAT a 4102444800123");
  assert.deepEqual(await ask(client, "VERSION a WITHVALUE"), [await ask(client, "VERSION a"), "one", 4102444800123]);
  assert.match(await client.line("VERSION a WITHTTL"), /^-ERR syntax error/);
  assert.match(await client.line("VERSION a WITHVALUE x"), /^-ERR syntax error/);
});

test("SET IFVERSION writes only over the version it names, WITHVERSION answers the new one", async () => {
  const client = newClient();
  assert.equal(await client.line("SET a 1 IFVERSION x:1"), "$-1\r\n", "there is no such key");
  const first = await ask(client, "SET a 1 WITHVERSION");
  assert.equal(await ask(client, "VERSION a"), first);
  const second = await ask(client, `SET a 2 IFVERSION ${first} WITHVERSION PX 60000`);
  assert.notEqual(second, first);
  assert.equal(await ask(client, "VERSION a"), second);
  assert.equal(await client.line(`SET a 3 IFVERSION ${first}`), "$-1\r\n");
  assert.equal(await client.line(`SET a 3 IFVERSION ${first} WITHVERSION`), "$-1\r\n");
  assert.equal(
    await client.line(`SET a 3 IFVERSION ${first} GET`),
    "$1\r\n2\r\n",
    "as NX with GET: the value there is",
  );
  assert.equal(await ask(client, "GET a"), "2");
  assert.equal(await client.line(`SET a 3 IFVERSION ${second} KEEPTTL`), "+OK\r\n");
  // Its time is over at once: written, and there is nothing that has a version.
  assert.equal(await client.line("SET a 4 PXAT 1 WITHVERSION"), "$0\r\n\r\n");
});

test("conditions and answers that exclude each other are syntax errors", async () => {
  const client = newClient();
  for (const options of [
    "IFVERSION",
    "NX IFVERSION 1",
    "IFVERSION 1 XX",
    "IFVERSION 1 IFVERSION 1",
    "GET WITHVERSION",
    "WITHVERSION GET",
  ]) {
    assert.equal(await client.line(`SET a 1 ${options}`), "-ERR syntax error\r\n", options);
  }
  assert.equal(await client.line("EXISTS a"), ":0\r\n");
});

test("DELEX deletes the key, or only the version it names; DEL takes any names as before", async () => {
  const client = newClient();
  const version = await ask(client, "SET a 1 WITHVERSION");
  await client.line("SET b 1");
  assert.equal(await client.line("DELEX b"), ":1\r\n");
  assert.equal(await client.line("DELEX b"), ":0\r\n");
  assert.equal(await client.line("DELEX a IFVERSION other:1"), ":0\r\n");
  assert.equal(await client.line("DELEX a b"), "-ERR syntax error\r\n");
  assert.equal(await client.line("DELEX a IFVERSION"), "-ERR syntax error\r\n");
  assert.equal(await client.line("DELEX a IFVERSION x y"), "-ERR syntax error\r\n");
  assert.equal(await client.line(`delex a ifversion ${version}`), ":1\r\n");
  await client.line("MSET a 1 IFVERSION 2 x:1 3");
  assert.equal(await client.line("DEL a IFVERSION x:1"), ":3\r\n");
});
