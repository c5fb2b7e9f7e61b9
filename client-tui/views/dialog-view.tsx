/** A question over the pane: a line of input, yes or no, or how far a bulk delete is. */
import { Box } from "ink";
import type { ReactNode } from "react";
import type { Dialog, Model } from "../model/model.ts";
import { fullCount } from "../text/format.ts";
import { type Row, span } from "../text/row.ts";
import { visibleBytes, wrapWords } from "../text/visible.ts";
import { editorRow } from "./editor-row.ts";
import { insideWidth, Panel } from "./panel.tsx";

export const DialogView = ({ model, dialog }: { readonly model: Model; readonly dialog: Dialog }): ReactNode => {
  const { columns, rows } = model.size;
  const width = Math.min(columns - 4, dialog.kind === "input" ? 100 : 72);
  const body = dialogRows(dialog, insideWidth(width));
  const height = Math.min(rows - 4, body.length + 2);
  return (
    <Box
      position="absolute"
      marginLeft={Math.floor((columns - width) / 2)}
      marginTop={Math.max(3, Math.floor((rows - height) / 3))}
    >
      <Panel
        title={[span(titleOf(dialog), dialog.kind === "confirm" ? "bad" : "title")]}
        rows={body}
        width={width}
        height={height}
        colors={model.colors}
        focused
      />
    </Box>
  );
};

const titleOf = (dialog: Dialog): string => {
  if (dialog.kind !== "bulk") return dialog.title;
  return dialog.step === "counting" ? "Counting" : "Deleting";
};

const linesMax = 12;

export const dialogRows = (dialog: Dialog, width: number): Row[] => {
  switch (dialog.kind) {
    case "input":
      return [
        [],
        editorRow(dialog.editor, width, [span("› ", "accent")]),
        [],
        dialog.error === "" ? [span(dialog.hint, "quiet")] : [span(dialog.error, "bad")],
        [span("Esc leaves it as it is", "quiet")],
      ];
    case "confirm": {
      const lines = dialog.lines.flatMap((line) => wrapWords(line, width, linesMax)).slice(0, linesMax);
      return [
        [],
        ...lines.map((line): Row => [span(line)]),
        [],
        [span("y", "accent"), span(" yes   "), span("n", "accent"), span(" no")],
      ];
    }
    case "bulk": {
      const pattern = visibleBytes(dialog.pattern);
      const text =
        dialog.step === "counting"
          ? `${fullCount(dialog.count)} keys match ${pattern} so far`
          : `${fullCount(dialog.count)} of ${fullCount(dialog.total)} keys that match ${pattern}`;
      return [[], [span(text)], [], [span("Esc stops", "quiet")]];
    }
  }
};
