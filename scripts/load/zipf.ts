/**
 * Ranks by Zipf's law: rank k of 1 to n with a probability of k^-s. s = 0 is uniform, 0.99 is YCSB's, 1 is Zipf's own.
 *
 * Rejection-inversion (W. Hörmann, G. Derflinger: "Rejection-inversion to generate variates from monotone discrete
 * distributions", ACM TOMACS 6(3), 1996): exact for every s >= 0, constant time and memory whatever n, so ten million
 * keys need no table. Gray's method (SIGMOD 1994), which YCSB uses, is an approximation that has no s = 1.
 */
export class Zipf {
  readonly #exponent: number;
  readonly #count: number;
  readonly #random: () => number;
  readonly #integralFirst: number;
  readonly #integralLast: number;
  readonly #squeeze: number;

  /** `random` gives numbers in [0, 1). */
  constructor(count: number, exponent: number, random: () => number) {
    this.#count = count;
    this.#exponent = exponent;
    this.#random = random;
    this.#integralFirst = this.#integral(1.5) - 1;
    this.#integralLast = this.#integral(count + 0.5);
    this.#squeeze = 2 - this.#integralInverse(this.#integral(2.5) - this.#density(2));
  }

  /** 0 to count - 1; 0 is the most frequent. */
  readonly next = (): number => {
    if (this.#exponent === 0) return Math.floor(this.#random() * this.#count);
    for (;;) {
      const area = this.#integralLast + this.#random() * (this.#integralFirst - this.#integralLast);
      const x = this.#integralInverse(area);
      const rank = Math.min(this.#count, Math.max(1, Math.floor(x + 0.5)));
      // The first condition spares most draws the second, which decides exactly.
      if (rank - x <= this.#squeeze || area >= this.#integral(rank + 0.5) - this.#density(rank)) return rank - 1;
    }
  };

  #density(x: number): number {
    return Math.exp(-this.#exponent * Math.log(x));
  }

  /** Of the density, up to a constant; written so that s = 1 is no special case. */
  #integral(x: number): number {
    const log = Math.log(x);
    return expm1Over((1 - this.#exponent) * log) * log;
  }

  #integralInverse(area: number): number {
    const t = Math.max(-1, area * (1 - this.#exponent));
    return Math.exp(log1pOver(t) * area);
  }
}

/** (e^x - 1) / x, also near 0. */
const expm1Over = (x: number): number => (Math.abs(x) > 1e-8 ? Math.expm1(x) / x : 1 + (x / 2) * (1 + x / 3));

/** ln(1 + x) / x, also near 0. */
const log1pOver = (x: number): number => (Math.abs(x) > 1e-8 ? Math.log1p(x) / x : 1 - x * (1 / 2 - x / 3));
