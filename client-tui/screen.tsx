/** Ink, as a function from a model to a frame of text; the painter does the rest. */
import { EventEmitter } from "node:events";
import { type Instance, render } from "ink";
import type { Model, Size } from "./model/model.ts";
import { App } from "./views/app.tsx";

/** What Ink takes for its terminal. In `debug` it writes each frame whole, with nothing around it. */
class FrameSink extends EventEmitter {
  readonly isTTY = false;
  columns = 80;
  rows = 24;
  frame = "";

  readonly write = (frame: string): boolean => {
    this.frame = frame;
    return true;
  };
}

export interface Screen {
  /** Rows joined by line feeds, styled by SGR sequences alone. */
  frame(model: Model): string;
  close(): void;
}

/** `onError`: a view threw; the screen shows nothing new from then on. */
export const openScreen = ({ columns, rows }: Size, onError: (error: unknown) => void): Screen => {
  const sink = new FrameSink();
  sink.columns = columns;
  sink.rows = rows;
  let instance: Instance | undefined;
  return {
    frame: (model) => {
      sink.columns = model.size.columns;
      sink.rows = model.size.rows;
      const app = <App model={model} />;
      if (instance === undefined) {
        instance = render(app, {
          // Ink reads `columns`, `rows`, `isTTY`, writes, and listens to `resize`: that is all of a stream it uses.
          stdout: sink as unknown as NodeJS.WriteStream,
          debug: true,
          exitOnCtrlC: false,
          patchConsole: false,
        });
        instance.waitUntilExit().catch(onError);
      } else instance.rerender(app);
      return sink.frame;
    },
    close: () => {
      instance?.unmount();
      instance?.cleanup();
    },
  };
};
