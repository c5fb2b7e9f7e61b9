/** HTTP requests by route, of a peer or a gateway: plain numbers, and how they are shown. */
import { DurationHistogram } from "./duration-histogram.ts";
import { type Family, histogramSamples, type Sample } from "./family.ts";

/** Statuses of HTTP are counted by number up to this one. */
const statusMax = 599;

/** Requests of one route: by status, and how long they took. */
export class RouteCounts {
  readonly byStatus = new Float64Array(statusMax + 1);
  readonly durations = new DurationHistogram();

  /** Once an answer was handed to its socket. Two array look-ups and four additions. */
  note(status: number, micros: number): void {
    this.count(status);
    this.durations.note(micros);
  }

  /** Of a stream: how long one was read says nothing. */
  count(status: number): void {
    const at = status > statusMax ? 0 : status;
    this.byStatus[at] = (this.byStatus[at] ?? 0) + 1;
  }
}

/** A route is a template such as `/kv/{key}`, never a path: there must be few. Get a route's counts once and keep them. */
export class HttpCounts {
  readonly routes = new Map<string, RouteCounts>();

  route(template: string): RouteCounts {
    let counts = this.routes.get(template);
    if (counts === undefined) {
      counts = new RouteCounts();
      this.routes.set(template, counts);
    }
    return counts;
  }
}

const requests = ({ http }: { readonly http: HttpCounts }): readonly Sample[] => {
  const samples: Sample[] = [];
  for (const [route, { byStatus }] of http.routes) {
    byStatus.forEach((value, code) => {
      if (value > 0) samples.push({ labels: { route, code: code === 0 ? "other" : String(code) }, value });
    });
  }
  return samples;
};

export const httpFamilies: readonly Family<{ readonly http: HttpCounts }>[] = [
  {
    name: "chorus_http_requests_total",
    type: "counter",
    help: "HTTP requests for keys, /, /status and, once they ended, streams (/watch, /backup), by route and status.",
    labels: ["route", "code"],
    read: requests,
  },
  {
    name: "chorus_http_request_duration_seconds",
    type: "histogram",
    help: "From a request's headers until its answer was handed to the socket; not of streams.",
    labels: ["route"],
    read: ({ http }) =>
      [...http.routes].flatMap(([route, { durations }]) =>
        durations.count === 0 ? [] : histogramSamples(durations, { route }),
      ),
  },
];
