import { html, nothing, type TemplateResult } from 'lit-html';
import { splitPath } from '../format.ts';
import type { Disk } from '../model.ts';

interface Layer {
  readonly role: string;
  readonly source: string;
  readonly format: string;
}

/** The disk as its layers, from the one the guest writes to down to the base. */
export function layersOf(disk: Disk): readonly Layer[] {
  const below = (disk.backingChain ?? []).filter((image, index) => index > 0 || image.source !== disk.source);
  const role = (index: number) => (index === below.length - 1 ? 'base' : 'backing');
  return [
    { role: below.length > 0 ? 'overlay' : 'disk', source: disk.source ?? '', format: disk.format ?? '' },
    ...below.map((image, index) => ({ role: role(index), source: image.source, format: image.format ?? '' })),
  ];
}

export function chain(disk: Disk): TemplateResult {
  return html`
    <ol class="chain" aria-label="Layers of ${disk.target}, the overlay first" data-testid="chain">
      ${layersOf(disk).map(layerBox)}
    </ol>`;
}

function layerBox({ role, source, format }: Layer): TemplateResult {
  const { folder, name } = splitPath(source);
  return html`
    <li data-role=${role} title=${source}>
      <div>
        <span class="role">${role}${format ? html` <span class="format">${format}</span>` : nothing}</span>
        <span class="source"><span class="folder">${folder}</span><span class="name">${name || 'no source'}</span></span>
      </div>
    </li>`;
}
