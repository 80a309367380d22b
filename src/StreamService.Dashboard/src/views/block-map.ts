import { html, nothing, type ElementPart, type TemplateResult } from 'lit-html';
import { AsyncDirective } from 'lit-html/async-directive.js';
import { directive, PartType, type PartInfo } from 'lit-html/directive.js';
import { blocksOf, describeMap, gridOf, sumsOf, type Block } from '../block-map.ts';
import { formatBytes } from '../format.ts';
import type { DiskMap } from '../model.ts';
import { colour, onThemeChange } from './colours.ts';

const gap = 1.5;

/** Paints the blocks on a canvas that is as wide as its parent and as high as they need. */
class Blocks extends AsyncDirective {
  #map: DiskMap | undefined;
  #canvas: HTMLCanvasElement | undefined;
  #painted: { map: DiskMap; width: number } | undefined;
  readonly #observer = new ResizeObserver(() => this.#paint());
  readonly #unsubscribe = onThemeChange(() => {
    this.#painted = undefined;
    this.#paint();
  });

  constructor(part: PartInfo) {
    super(part);
    if (part.type !== PartType.ELEMENT) throw new Error('belongs on an element');
  }

  override update(part: ElementPart, [map]: [DiskMap]): typeof nothing {
    this.#map = map;
    if (this.#canvas === undefined) {
      this.#canvas = part.element as HTMLCanvasElement;
      this.#observer.observe(this.#canvas.parentElement!);
    }
    this.#paint();
    return nothing;
  }

  override render(_map: DiskMap): typeof nothing {
    return nothing;
  }

  protected override disconnected(): void {
    this.#observer.disconnect();
    this.#unsubscribe();
  }

  #paint(): void {
    const canvas = this.#canvas;
    const map = this.#map;
    const width = canvas?.parentElement?.clientWidth ?? 0;
    if (canvas === undefined || map === undefined || width === 0) return;
    if (this.#painted?.map === map && this.#painted.width === width) return;
    this.#painted = { map, width };
    const blocks = blocksOf(map);
    const { columns, rows, pitch } = gridOf(width, blocks.length);
    const scale = window.devicePixelRatio || 1;
    const height = Math.ceil(rows * pitch);
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.setProperty('height', `${height}px`);
    }
    const context = canvas.getContext('2d')!;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const paint: Paint = {
      durable: colour('--map-durable'), populated: colour('--map-populated'), backing: colour('--map-backing'), hole: colour('--map-hole'), hot: colour('--map-hot'),
    };
    blocks.forEach((block, index) => paintBlock(context, block, (index % columns) * pitch, Math.floor(index / columns) * pitch, pitch - gap, paint));
  }
}

type Paint = Readonly<Record<'durable' | 'populated' | 'backing' | 'hole' | 'hot', string>>;

/** From below: what is safe, what is there, what is missing, what never was. A mark at the top edge: guests read it first. */
function paintBlock(context: CanvasRenderingContext2D, block: Block, x: number, y: number, size: number, paint: Paint): void {
  let bottom = y + size;
  for (const part of ['durable', 'populated', 'backing', 'hole'] as const) {
    const share = block[part];
    if (share <= 0) continue;
    const height = share * size;
    context.fillStyle = paint[part];
    context.fillRect(x, bottom - height, size, height);
    bottom -= height;
  }
  if (!block.hot) return;
  context.fillStyle = paint.hot;
  context.fillRect(x, y, size, Math.max(2, size / 4));
}

const blocks = directive(Blocks);

/** The picture, its legend, and the same in words. */
export function blockMap(map: DiskMap): TemplateResult {
  const sums = sumsOf(map);
  return html`
    <div class="block-map" data-testid="block-map">
      <canvas role="img" aria-label=${describeMap(map)} ${blocks(map)}></canvas>
    </div>
    <dl class="legend" data-testid="map-legend">
      ${legend('durable', map.durable === null ? 'In the overlay' : 'Durable', sums.durable, 'In the overlay, and on stable storage')}
      ${map.durable === null ? nothing : legend('populated', 'Populated', sums.populated, 'In the overlay; a crash of QEMU could still undo it')}
      ${legend('backing', 'In the backing chain', sums.backing, 'Still to be brought in')}
      ${legend('hole', 'Hole', sums.hole, 'In no image, or zeros: needs no streaming')}
      ${map.hot === null ? nothing : legend('hot', 'Read first', sums.hot, 'What guests of this image read first')}
    </dl>`;
}

function legend(part: string, text: string, bytes: number, title: string): TemplateResult {
  return html`<div title=${title}><dt data-part=${part}>${text}</dt><dd class="number" data-testid="map-${part}">${formatBytes(bytes)}</dd></div>`;
}
