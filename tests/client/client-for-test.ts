/** A client of fake peers, closed when its test ends, and how a call of it fails. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { ChorusError, type Client, type ConnectOptions, connect } from "../../protocol/client.ts";
import type { FakePeer } from "./fake-peer.ts";

export const connectTo = async (
  t: TestContext,
  peers: readonly FakePeer[],
  options: ConnectOptions = {},
): Promise<Client> => {
  const kv = await connect(
    peers.map(({ address }) => address),
    options,
  );
  t.after(() => kv.close());
  return kv;
};

export const failure = async (call: Promise<unknown>): Promise<ChorusError> => {
  try {
    await call;
  } catch (error) {
    assert(error instanceof ChorusError, String(error));
    return error;
  }
  assert.fail("the call was to reject");
};
