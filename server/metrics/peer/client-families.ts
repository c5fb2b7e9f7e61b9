/** Connections of clients, and the bytes through them. */
import { clientSocketsMax, connectionsMax } from "../../../protocol/limits.ts";
import type { ClientSocketCounters } from "../../ports/client-socket-owner.ts";
import type { TcpCounters } from "../../ports/connection.ts";
import { type Family, samplesBy } from "../family.ts";
import { type PeerFigures, running } from "../peer-figures.ts";

const perPort = (read: (counters: TcpCounters | ClientSocketCounters) => number): Family<PeerFigures>["read"] =>
  running(({ tcp, webSocket }) => [
    { labels: { port: "tcp" }, value: read(tcp.counters) },
    { labels: { port: "websocket" }, value: read(webSocket.counters) },
  ]);

export const clientFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_clients",
    type: "gauge",
    help: `Client connections now. Limits: ${connectionsMax} on tcp, ${clientSocketsMax} on websocket.`,
    labels: ["port"],
    read: running(({ tcp, webSocket }) =>
      samplesBy("port", [
        ["tcp", tcp.open],
        ["websocket", webSocket.open],
      ]),
    ),
  },
  {
    name: "chorus_clients_blocked",
    type: "gauge",
    help: "Connections in WAIT now.",
    read: running(({ commands }) => commands.blocked),
  },
  {
    name: "chorus_connections_total",
    type: "counter",
    help: "Client connections there were, those turned away among them.",
    labels: ["port"],
    read: perPort((counters) => counters.connectionsReceived),
  },
  {
    name: "chorus_client_input_bytes_total",
    type: "counter",
    help: "Bytes read from clients.",
    labels: ["port"],
    read: perPort((counters) => counters.inputBytes),
  },
  {
    name: "chorus_client_output_bytes_total",
    type: "counter",
    help: "Bytes of replies and pushes given to sockets.",
    labels: ["port"],
    read: perPort((counters) => counters.outputBytes),
  },
  {
    name: "chorus_protocol_errors_total",
    type: "counter",
    help: "Requests that made no sense; the connection was closed.",
    labels: ["port"],
    read: running(({ tcp, webSocket }) =>
      samplesBy("port", [
        ["tcp", tcp.counters.protocolErrors + tcp.counters.httpRefused],
        ["websocket", webSocket.counters.badMessages],
      ]),
    ),
  },
];
