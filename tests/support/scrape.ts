/** Reads Prometheus's text format: only what tests ask. */
export interface Scrape {
  readonly text: string;
  /** Of families, by name. */
  readonly types: ReadonlyMap<string, string>;
  /** Of one line, such as `chorus_keys` or `chorus_link_up{peer="b"}`, labels in the order of the text. */
  value(line: string): number | undefined;
}

export const parseScrape = (text: string): Scrape => {
  const types = new Map<string, string>();
  const values = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const type = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (type !== null) types.set(type[1] ?? "", type[2] ?? "");
    if (line.startsWith("#")) continue;
    const at = line.lastIndexOf(" ");
    values.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return { text, types, value: (line) => values.get(line) };
};

export const scrape = async (httpPort: number): Promise<Scrape> => {
  const response = await fetch(`http://127.0.0.1:${httpPort}/metrics`);
  if (response.status !== 200) throw new Error(`/metrics answered ${response.status}`);
  return parseScrape(await response.text());
};
