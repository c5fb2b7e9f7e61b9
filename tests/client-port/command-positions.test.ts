/** A command with a position of its own: for a gateway, which asks for many over one connection. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "../wire/harness.ts";
import { origin } from "./fake-feed.ts";
import { openClientPort } from "./harness.ts";

test("a command waits for its own position; those behind it do not", async (t) => {
  const { greeted, feed } = await openClientPort(t);
  const client = await greeted();
  client.send({ type: "command", id: 1, args: ["SET", "a", "1"], position: `${origin}:2` });
  assert.deepEqual(await client.command(2, "GET", "a"), null);
  feed.write("x", "1");
  assert.deepEqual(await client.command(3, "GET", "a"), null);
  feed.write("x", "1");
  const message = await client.next();
  assert.deepEqual(message.type === "reply" && [message.id, message.reply], [1, { status: "OK" }]);
  assert.deepEqual(await client.command(4, "GET", "a"), "1");
  client.send({ type: "command", id: 5, args: ["GET", "a"], position: `${origin}:1` });
  assert.equal((await client.next()).type, "reply", "one that was reached long ago costs nothing");
});

test("a position not reached in the command's time is STALE, not applied, and concerns that command alone", async (t) => {
  const { greeted } = await openClientPort(t);
  const client = await greeted({ staleAfterMs: 60_000 });
  const stale = await client.ask({
    type: "command",
    id: 1,
    args: ["SET", "a", "1"],
    position: `${origin}:9`,
    staleAfterMs: 10,
  });
  assert.deepEqual(stale.type === "error" && [stale.id, stale.code, stale.outcome], [1, "STALE", "not-applied"]);
  assert.deepEqual(await client.command(2, "GET", "a"), null);
});

test("a position inside MULTI is refused and spoils the transaction; what is no position is BAD_POSITION", async (t) => {
  const { greeted } = await openClientPort(t);
  const client = await greeted();
  await client.command(1, "MULTI");
  const refused = await client.ask({ type: "command", id: 2, args: ["SET", "a", "1"], position: `${origin}:1` });
  assert.equal(refused.type === "error" && refused.code, "ERR");
  const aborted = (await client.command(3, "EXEC")) as { code: string };
  assert.equal(aborted.code, "EXECABORT");
  const bad = await client.ask({ type: "command", id: 4, args: ["GET", "a"], position: "nonsense" });
  assert.equal(bad.type === "error" && bad.code, "BAD_POSITION");
});

test("when the port closes, a command that waits for its position is refused, not run", async (t) => {
  const { greeted, port, feed } = await openClientPort(t);
  const client = await greeted();
  client.send({ type: "command", id: 1, args: ["SET", "a", "1"], position: `${origin}:1`, staleAfterMs: 60_000 });
  await client.command(2, "PING");
  const closing = port.close(1000);
  const refused = await client.next();
  assert.deepEqual(refused.type === "error" && [refused.id, refused.code, refused.outcome], [
    1,
    "LOADING",
    "not-applied",
  ]);
  feed.write("x", "1");
  await closing;
  await until(() => client.closed !== undefined, "the end");
  assert.equal(client.received.length, 0);
});
