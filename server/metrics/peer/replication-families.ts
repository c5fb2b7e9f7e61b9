/** The other peers' writes as they come in, and what is sent to those that missed some. */
import { type Family, samplesBy } from "../family.ts";
import { counted, type PeerFigures, running } from "../peer-figures.ts";

export const replicationFamilies: readonly Family<PeerFigures>[] = [
  {
    name: "chorus_frames_applied_total",
    type: "counter",
    help: "Frames of other peers' writes applied.",
    read: counted("applied"),
  },
  {
    name: "chorus_frames_waited_total",
    type: "counter",
    help: "Of these, those that came before their causes and had to wait.",
    read: counted("waited"),
  },
  {
    name: "chorus_frames_duplicate_total",
    type: "counter",
    help: "Frames that were here already.",
    read: counted("duplicates"),
  },
  {
    name: "chorus_catch_ups_total",
    type: "counter",
    help: "Times another peer was brought up to date from the log.",
    read: running(({ catchUps }) => catchUps.sent),
  },
  {
    name: "chorus_catch_up_ops_total",
    type: "counter",
    help: "Writes sent by that.",
    read: running(({ catchUps }) => catchUps.opsSent),
  },
  {
    name: "chorus_transfers_total",
    type: "counter",
    help: "State transfers: sent (begun), because the log did not reach back; received (installed).",
    labels: ["direction"],
    read: running(({ catchUps }) =>
      samplesBy("direction", [
        ["sent", catchUps.transfersSent],
        ["received", catchUps.transfersReceived],
      ]),
    ),
  },
  {
    name: "chorus_transfer_cells_received_total",
    type: "counter",
    help: "Cells of the transfers installed.",
    read: running(({ catchUps }) => catchUps.transferCellsReceived),
  },
];
