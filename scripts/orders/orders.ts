/**
 * The words of the shop, and its keys. Each key has exactly one writer, so that no two writes ever compete:
 *
 *   request:CUSTOMER:N   what a customer ordered           written by the customer alone, who counts its own orders
 *   order:CUSTOMER:N     who made it                       written by the one engineer the order belongs to
 *   last:CUSTOMER        the customer's last order         written by the customer alone
 *
 * With `--claim strong` there is one more, which all engineers write, one after the other:
 *
 *   strong:claim:CUSTOMER:N    who makes the order, then its record
 *
 * An order has one key, so it is recorded once, however often it is written.
 */

export const orderTypes = ["regular", "custom"] as const;
export type OrderType = (typeof orderTypes)[number];

export interface LaptopRequest {
  readonly customer: string;
  readonly n: number;
  readonly type: OrderType;
  readonly model: string;
  readonly placedAt: string;
}

export interface OrderRecord extends LaptopRequest {
  readonly engineer: number;
  /** Of a custom laptop. */
  readonly expert?: number;
  readonly madeAt: string;
}

export const requestPrefix = "request:";
export const requestKey = (customer: string, n: number): string => `${requestPrefix}${customer}:${n}`;
export const ordersPrefix = "order:";
export const orderPrefix = (customer: string): string => `${ordersPrefix}${customer}:`;
export const orderKey = (customer: string, n: number): string => `${orderPrefix(customer)}${n}`;
export const claimKey = (customer: string, n: number): string => `strong:claim:${customer}:${n}`;
export const lastKey = (customer: string): string => `last:${customer}`;

/**
 * Which engineer makes an order: said by its name alone, so all engineers agree without asking each other (FNV-1a). A
 * claim ("I take it") needs a condition that all peers judge alike: a plain key has none, a strong key has.
 */
export const engineerOf = (customer: string, n: number, engineers: number): number => {
  let hash = 0x811c9dc5;
  for (const character of `${customer}:${n}`) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  return (hash >>> 0) % engineers;
};

/** Undefined: not one of ours. */
export const parseRequest = (text: string): LaptopRequest | undefined =>
  parse<LaptopRequest>(text, ["model", "placedAt"]);
export const parseRecord = (text: string): OrderRecord | undefined => {
  const record = parse<OrderRecord>(text, ["model", "placedAt", "madeAt"]);
  return record !== undefined && Number.isSafeInteger(record.engineer) ? record : undefined;
};

const parse = <Kind extends LaptopRequest>(text: string, texts: readonly (keyof Kind)[]): Kind | undefined => {
  try {
    const parsed = JSON.parse(text) as Partial<Kind> | null;
    if (parsed === null || typeof parsed !== "object") return undefined;
    const isWhole =
      typeof parsed.customer === "string" &&
      Number.isSafeInteger(parsed.n) &&
      orderTypes.some((type) => type === parsed.type) &&
      texts.every((name) => typeof parsed[name] === "string");
    return isWhole ? (parsed as Kind) : undefined;
  } catch {
    return undefined;
  }
};
