import { nothing, type ElementPart } from 'lit-html';
import { AsyncDirective } from 'lit-html/async-directive.js';
import { directive, PartType, type PartInfo } from 'lit-html/directive.js';
import type uPlot from 'uplot';
import { formatClock } from '../format.ts';
import { byteIncrement, type Samples } from '../samples.ts';
import { colour, onThemeChange } from './colours.ts';

export interface ChartOptions {
  readonly samples: Samples;
  /** Which of the samples' series. */
  readonly series: number;
  /** A custom property with the line's colour. */
  readonly colour: string;
  /** Whether values are bytes, so that marks are at binary units. */
  readonly bytes: boolean;
  readonly format: (value: number) => string;
  /** Seconds that the chart is wide at the least. */
  readonly span: number;
}

/** One line over time, as wide as its element. What it shows is also said in words, by whoever makes it. */
class Chart extends AsyncDirective {
  #options: ChartOptions | undefined;
  #element: HTMLElement | undefined;
  #plot: uPlot | undefined;
  #drawn = -1;
  #loading = false;
  readonly #observer = new ResizeObserver(() => this.#resize());
  readonly #unsubscribe = onThemeChange(() => this.#remake());

  constructor(part: PartInfo) {
    super(part);
    if (part.type !== PartType.ELEMENT) throw new Error('belongs on an element');
  }

  override update(part: ElementPart, [options]: [ChartOptions]): typeof nothing {
    this.#options = options;
    this.#element = part.element as HTMLElement;
    if (this.#plot !== undefined) this.#feed();
    else if (!this.#loading) void this.#make();
    return nothing;
  }

  override render(_options: ChartOptions): typeof nothing {
    return nothing;
  }

  protected override disconnected(): void {
    this.#observer.disconnect();
    this.#unsubscribe();
    this.#plot?.destroy();
    this.#plot = undefined;
  }

  async #make(): Promise<void> {
    this.#loading = true;
    // Not needed to see the first page.
    const { default: UPlot } = await import('uplot');
    this.#loading = false;
    const element = this.#element;
    if (!this.isConnected || element === undefined) return;
    this.#plot = new UPlot(this.#uplotOptions(element), this.#options!.samples.columns as uPlot.AlignedData, element);
    this.#drawn = -1;
    this.#feed();
    this.#observer.observe(element);
  }

  #remake(): void {
    if (this.#plot === undefined) return;
    this.#observer.disconnect();
    this.#plot.destroy();
    this.#plot = undefined;
    void this.#make();
  }

  #feed(): void {
    const { samples, series, span } = this.#options!;
    if (samples.version === this.#drawn) return;
    this.#drawn = samples.version;
    const { times } = samples;
    const first = times[0] ?? Date.now() / 1000;
    this.#plot!.batch(() => {
      this.#plot!.setData([times, samples.values[series]!] as uPlot.AlignedData, false);
      this.#plot!.setScale('x', { min: first, max: Math.max(times.at(-1) ?? first, first + span) });
    });
  }

  #resize(): void {
    const width = this.#element?.clientWidth ?? 0;
    if (width > 0 && this.#plot !== undefined && width !== this.#plot.width) this.#plot.setSize({ width, height: this.#plot.height });
  }

  #uplotOptions(element: HTMLElement): uPlot.Options {
    const { bytes, format, series } = this.#options!;
    const line = colour(this.#options!.colour);
    const axis: uPlot.Axis = {
      stroke: colour('--muted'),
      grid: { stroke: colour('--grid'), width: 1 },
      ticks: { show: false },
      gap: 6,
      font: `12px ${getComputedStyle(document.body).fontFamily}`,
    };
    const readout = element.querySelector<HTMLElement>('.readout');
    return {
      width: Math.max(element.clientWidth, 100),
      height: Number(element.dataset['height'] ?? 180),
      padding: [8, 26, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 7, fill: line, stroke: colour('--surface') }, drag: { x: false, y: false } },
      scales: {
        x: { time: true },
        y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.15 : bytes ? 1024 ** 2 : 1] },
      },
      axes: [
        { ...axis, size: 28, space: 80, values: (_plot, marks) => marks.map((mark) => formatClock(mark, marks.length > 1 && marks[1]! - marks[0]! < 60)) },
        {
          ...axis, size: 76,
          values: (_plot, marks) => marks.map((mark) => (mark === 0 ? '0' : format(mark))),
          ...(bytes
            ? {
                splits: (_plot: uPlot, _axis: number, min: number, max: number) => {
                  const step = byteIncrement(max - min, 4);
                  return Array.from({ length: Math.floor(max / step) + 1 }, (_, index) => index * step);
                },
              }
            : { space: 40 }),
        },
      ],
      series: [{}, { stroke: line, width: 2, fill: colour(`${this.#options!.colour}-soft`), points: { show: false }, spanGaps: false }],
      hooks: {
        setCursor: [
          (plot) => {
            if (readout === null) return;
            const index = plot.cursor.idx;
            const value = index === null || index === undefined ? null : (this.#options!.samples.values[series]![index] ?? null);
            readout.textContent = value === null ? '' : `${formatClock(plot.data[0]![index!]!, true)}  ${format(value)}`;
          },
        ],
      },
    };
  }
}

export const chart = directive(Chart);
