/**
 * All handlers by the full name of their command (`get`, `client|list`). Containers have none unless they run by
 * themselves, as COMMAND does.
 */
import { clientHandlers } from "./clients.ts";
import { connectionHandlers } from "./connection.ts";
import type { Handlers } from "./context.ts";
import { counterHandlers } from "./counters.ts";
import { expiryHandlers } from "./expiry.ts";
import { faultHandlers } from "./fault.ts";
import { introspectionHandlers } from "./introspection.ts";
import { keyHandlers } from "./keys.ts";
import { pubSubHandlers } from "./pubsub.ts";
import { replicationHandlers } from "./replication.ts";
import { slowCommandHandlers } from "./slow-commands.ts";
import { stringHandlers } from "./strings.ts";
import { transactionHandlers } from "./transactions.ts";
import { walkHandlers } from "./walk.ts";

export const handlers: Handlers = {
  ...connectionHandlers,
  ...clientHandlers,
  ...keyHandlers,
  ...walkHandlers,
  ...expiryHandlers,
  ...stringHandlers,
  ...counterHandlers,
  ...transactionHandlers,
  ...pubSubHandlers,
  ...introspectionHandlers,
  ...slowCommandHandlers,
  ...replicationHandlers,
  ...faultHandlers,
};
