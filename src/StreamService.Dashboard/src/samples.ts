// What is seen over time, for charts. Pure.

/** Values of several series at rising times (seconds since 1970), the oldest forgotten. */
export class Samples {
  readonly times: number[] = [];
  readonly values: (number | null)[][];
  readonly #capacity: number;
  readonly #spacing: number;

  /**
   * @param capacity how many are kept.
   * @param spacing seconds between two; what comes sooner takes the place of the last.
   */
  constructor(series: number, capacity: number, spacing: number) {
    this.values = Array.from({ length: series }, () => []);
    this.#capacity = capacity;
    this.#spacing = spacing;
  }

  /** Grows with every change. */
  version = 0;

  add(time: number, values: readonly (number | null)[]): void {
    const last = this.times.at(-1);
    // A clock that was set back begins anew.
    if (last !== undefined && time < last) this.clear();
    const now = this.times.at(-1);
    if (now !== undefined && time - now < this.#spacing) {
      this.values.forEach((series, index) => (series[series.length - 1] = values[index] ?? null));
    } else {
      this.times.push(time);
      this.values.forEach((series, index) => series.push(values[index] ?? null));
      if (this.times.length > this.#capacity) this.#forget();
    }
    this.version++;
  }

  clear(): void {
    this.times.length = 0;
    for (const series of this.values) series.length = 0;
    this.version++;
  }

  #forget(): void {
    this.times.shift();
    for (const series of this.values) series.shift();
  }

  /** As uPlot takes them. */
  get columns(): [number[], ...(number | null)[][]] {
    return [this.times, ...this.values];
  }
}

/** In a sentence, for whoever does not see the chart. */
export function describeSeries(values: readonly (number | null)[], format: (value: number) => string): string {
  const known = values.filter((value): value is number => value !== null);
  if (known.length === 0) return 'Nothing to show yet.';
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const last = values.at(-1);
  return `Now ${last === null || last === undefined ? 'nothing' : format(last)}; mean ${format(mean)}, highest ${format(Math.max(...known))}.`;
}

/** Marks of a scale of bytes, at most so many: powers of two and their quarters, as binary units are read. */
export function byteIncrement(range: number, marks: number): number {
  let increment = 1;
  while (range / increment > marks) increment *= 2;
  return increment;
}
