/** The whole screen: a function of the model, nothing else. */
import { Box } from "ink";
import type { ReactNode } from "react";
import { bodyRows, chromeRows, sizeMin } from "../model/layout.ts";
import type { Model } from "../model/model.ts";
import { type Row, span, spread } from "../text/row.ts";
import { ConflictsView } from "./conflicts-view.tsx";
import { ConsoleView } from "./console-view.tsx";
import { DialogView } from "./dialog-view.tsx";
import { FeedView } from "./feed-view.tsx";
import { Header } from "./header.tsx";
import { HelpView } from "./help-view.tsx";
import { KeysView } from "./keys-view.tsx";
import { Block, Covered } from "./panel.tsx";
import { PeersView } from "./peers-view.tsx";

export const App = ({ model }: { readonly model: Model }): ReactNode => {
  const { columns, rows } = model.size;
  if (columns < sizeMin.columns || rows < sizeMin.rows) {
    const text = `chorus needs ${sizeMin.columns}x${sizeMin.rows}, this is ${columns}x${rows}`;
    return <Block rows={[[span(text)]]} width={columns} height={rows} colors={model.colors} />;
  }
  return (
    <Box flexDirection="column" width={columns} height={rows}>
      <Covered.Provider value={model.dialog !== undefined}>
        <Header model={model} />
        <Box height={rows - chromeRows}>
          <Body model={model} />
        </Box>
        <Block rows={[footerRow(model)]} width={columns} height={1} colors={model.colors} />
      </Covered.Provider>
      {model.dialog !== undefined && <DialogView model={model} dialog={model.dialog} />}
    </Box>
  );
};

const Body = ({ model }: { readonly model: Model }): ReactNode => {
  const place = { model, width: model.size.columns, height: bodyRows(model.size) };
  if (model.isHelpOpen) return <HelpView {...place} />;
  switch (model.pane) {
    case "peers":
      return <PeersView {...place} />;
    case "keys":
      return <KeysView {...place} />;
    case "feed":
      return <FeedView {...place} />;
    case "conflicts":
      return <ConflictsView {...place} />;
    case "console":
      return <ConsoleView {...place} />;
  }
};

/** What just happened, else what the keys do here. */
const footerRow = (model: Model): Row => {
  const { notice } = model;
  if (notice !== undefined) {
    const style = notice.kind === "good" ? "good" : notice.kind === "bad" ? "bad" : "accent";
    return [span(" "), span(notice.text, style)];
  }
  const hints = hintsOf(model);
  const row: Row = hints.flatMap(([keys, meaning]) => [span(` ${keys}`, "accent"), span(` ${meaning} `, "quiet")]);
  return spread(row, [], model.size.columns);
};

type Hint = readonly [keys: string, meaning: string];

const hintsOf = (model: Model): readonly Hint[] => {
  const { keys, feed, console } = model;
  switch (model.pane) {
    case "peers":
      return [
        ["j k", "peer"],
        ["← →", "link"],
        ["c", "cut"],
        [">", "out"],
        ["<", "in"],
        ["h", "heal"],
        [":", "command"],
      ];
    case "keys":
      if (keys.isFiltering)
        return [
          ["Enter", "ask the peer"],
          ["↑ ↓", "choose"],
          ["Esc", "all keys"],
        ];
      return [
        ["/", "filter"],
        ["e", "edit"],
        ["n", "new"],
        ["t", "ttl"],
        ["R", "rename"],
        ["^D", "delete"],
        ["B", "bulk"],
        ["p", keys.mode],
        ["v", keys.view],
      ];
    case "feed":
      return [
        ["Space", feed.isPaused ? "go on" : "pause"],
        ["/", "filter"],
        ["Enter", "go to the key"],
        ["x", "clear"],
      ];
    case "conflicts":
      return [
        ["j k", "choose"],
        ["r", "restore the loser"],
        ["Enter", "go to the key"],
      ];
    case "console":
      return console.isTyping
        ? [
            ["Enter", "runs"],
            ["Tab", "completes"],
            ["↑ ↓", "history"],
            ["PgUp PgDn", "scroll"],
            ["Esc", "back"],
          ]
        : [
            [":", "type"],
            ["j k", "scroll"],
            ["Esc", "back"],
          ];
  }
};
