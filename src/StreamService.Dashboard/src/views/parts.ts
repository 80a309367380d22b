// Small parts that several views are made of.

import { html, nothing, type ElementPart, type TemplateResult } from 'lit-html';
import { Directive, directive, PartType, type PartInfo } from 'lit-html/directive.js';
import { formatFullTime, formatTime, problemFaults } from '../format.ts';
import type { Problem } from '../model.ts';

/** Sets custom properties of an element by script: a style attribute would need `unsafe-inline` in the page's CSP. */
class Properties extends Directive {
  constructor(part: PartInfo) {
    super(part);
    if (part.type !== PartType.ELEMENT) throw new Error('belongs on an element');
  }

  override update(part: ElementPart, [properties]: [Record<string, string>]): typeof nothing {
    const { style } = part.element as HTMLElement;
    for (const [name, value] of Object.entries(properties)) style.setProperty(name, value);
    return nothing;
  }

  override render(_properties: Record<string, string>): typeof nothing {
    return nothing;
  }
}

export const properties = directive(Properties);

export type Tone = 'good' | 'busy' | 'calm' | 'warn' | 'bad';

/** A state in a word, with a mark whose shape says the tone where the colour cannot. */
export function badge(tone: Tone, text: string, testId: string, title = ''): TemplateResult {
  return html`<span class="badge" data-tone=${tone} data-testid=${testId} title=${title}>${text}</span>`;
}

export function time(value: string | null | undefined): TemplateResult {
  return html`<time datetime=${value ?? ''} title=${formatFullTime(value)}>${formatTime(value)}</time>`;
}

/** A problem document where it belongs: near the control whose request it refused. */
export function problemNote(
  problem: Problem | undefined, testId: string, onDismiss?: () => void,
): TemplateResult | typeof nothing {
  if (problem === undefined) return nothing;
  const faults = problemFaults(problem);
  return html`
    <div class="problem" role="alert" data-testid=${testId} data-code=${problem.code ?? ''}>
      <div>
        <strong>${problem.title ?? 'The request was refused'}</strong>
        ${problem.detail ? html`<p>${problem.detail}</p>` : nothing}
        ${faults.length > 0 ? html`<ul>${faults.map((text) => html`<li>${text}</li>`)}</ul>` : nothing}
      </div>
      ${onDismiss
        ? html`<button type="button" class="quiet" data-testid="btn-dismiss" @click=${onDismiss}>Dismiss</button>`
        : nothing}
    </div>`;
}

export function fact(name: string, value: unknown, testId?: string, title = ''): TemplateResult {
  return html`<div title=${title}><dt>${name}</dt><dd data-testid=${testId ?? nothing}>${value}</dd></div>`;
}
