import { html, nothing, type TemplateResult } from 'lit-html';
import { splitPath } from '../format.ts';
import type { Disk } from '../model.ts';

export interface Layer {
  readonly role: string;
  readonly source: string;
  readonly format: string;
  /** The link to it is gone: the disk needs it no more. */
  readonly dropped: boolean;
}

/**
 * The disk as its layers, from the one the guest writes to down to the base.
 * @param before the layers that were there when somebody began to look: those that are gone since are kept, as dropped.
 */
export function layersOf(disk: Disk, before: readonly Layer[] = []): readonly Layer[] {
  const below = (disk.backingChain ?? []).filter((image, index) => index > 0 || image.source !== disk.source);
  const dropped = before.slice(1).filter((layer) => !below.some((image) => image.source === layer.source));
  const last = below.length - 1;
  return [
    { role: below.length + dropped.length > 0 ? 'overlay' : 'disk', source: disk.source ?? '', format: disk.format ?? '', dropped: false },
    ...dropped.map((layer) => ({ ...layer, dropped: true })),
    ...below.map((image, index) => ({ role: index === last ? 'base' : 'backing', source: image.source, format: image.format ?? '', dropped: false })),
  ];
}

/** @param note stands on the link from the overlay down. */
export function chain(target: string, layers: readonly Layer[], note = ''): TemplateResult {
  return html`
    <ol class="chain" aria-label="Layers of ${target}, the overlay first" data-testid="chain">
      ${layers.map((layer, index) => layerBox(layer, index === 1 ? note : ''))}
    </ol>`;
}

function layerBox({ role, source, format, dropped }: Layer, note: string): TemplateResult {
  const { folder, name } = splitPath(source);
  return html`
    <li data-role=${role} data-dropped=${dropped} title=${source}>
      <div class="layer">
        <span class="role">${dropped ? `${role}, no longer needed` : role}${format ? html` <span class="format">${format}</span>` : nothing}</span>
        <span class="source"><span class="folder">${folder}</span><span class="name">${name || 'no source'}</span></span>
      </div>
      ${dropped ? html`<span class="link-note">link dropped</span>` : note ? html`<span class="link-note number">${note}</span>` : nothing}
    </li>`;
}
