// Small parts that several views are made of.

import { html, nothing, type ElementPart, type TemplateResult } from 'lit-html';
import { Directive, directive, PartType, type PartInfo } from 'lit-html/directive.js';
import { capitalize, formatBytes, formatFullTime, formatPercent, formatShortTime, formatTime, problemFaults } from '../format.ts';
import type { Problem, StreamState, StreamStatus } from '../model.ts';
import { href } from '../router.ts';
import { describeState, durableProgress, nameOf, progress } from '../streams.ts';

/** Sets custom properties of an element by script: a style attribute would need `unsafe-inline` in the page's CSP. */
class Properties extends Directive {
  constructor(part: PartInfo) {
    super(part);
    if (part.type !== PartType.ELEMENT) throw new Error('belongs on an element');
  }

  override update(part: ElementPart, [properties]: [Record<string, string>]): typeof nothing {
    const { style } = part.element as HTMLElement;
    for (const [name, value] of Object.entries(properties)) {
      if (style.getPropertyValue(name) !== value) style.setProperty(name, value);
    }
    return nothing;
  }

  override render(_properties: Record<string, string>): typeof nothing {
    return nothing;
  }
}

export const properties = directive(Properties);

export type Tone = 'good' | 'busy' | 'calm' | 'warn' | 'bad';

const tones: Record<StreamState, Tone> = {
  idle: 'calm',
  queued: 'calm',
  running: 'busy',
  paused: 'calm',
  waiting: 'warn',
  finalizing: 'busy',
  completed: 'good',
  failed: 'bad',
  cancelled: 'calm',
};

/** A state in a word, with a mark whose shape says the tone where the colour cannot. */
export function badge(tone: Tone, text: string, testId: string, title = ''): TemplateResult {
  return html`<span class="badge" data-tone=${tone} data-testid=${testId} title=${title}>${text}</span>`;
}

export function stateBadge(state: StreamState): TemplateResult {
  return badge(tones[state] ?? 'calm', capitalize(state), 'stream-state', describeState(state));
}

/** @param short where there is little room. */
export function time(value: string | null | undefined, short = false): TemplateResult {
  return html`<time datetime=${value ?? ''} title=${formatFullTime(value)}>${short ? formatShortTime(value) : formatTime(value)}</time>`;
}

/**
 * A problem document where it belongs: near the control whose request it refused.
 * @param told members whose faults stand beside their fields.
 */
export function problemNote(
  problem: Problem | undefined, testId: string, onDismiss?: () => void, told: readonly string[] = [],
): TemplateResult | typeof nothing {
  if (problem === undefined) return nothing;
  const faults = problemFaults(problem, told);
  // All of it stands beside the fields already.
  const isTold = told.length > 0 && faults.length === 0 && problemFaults(problem).length > 0;
  return html`
    <div class="problem" role="alert" data-testid=${testId} data-code=${problem.code ?? ''}>
      <div>
        <strong>${problem.title ?? 'The request was refused'}</strong>
        ${problem.detail && !isTold ? html`<p>${problem.detail}</p>` : nothing}
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

/** Title, what stands beside it, and what can be done. */
export function pageHead(title: unknown, lead: unknown = nothing, actions: unknown = nothing): TemplateResult {
  return html`
    <header class="page-head">
      <div>
        <h1 id="page-title" tabindex="-1">${title}</h1>
        ${lead === nothing ? nothing : html`<p class="lead">${lead}</p>`}
      </div>
      ${actions === nothing ? nothing : html`<div class="page-actions">${actions}</div>`}
    </header>`;
}

/** A part of a page with a title of its own. */
export function panel(id: string, title: unknown, content: unknown, beside: unknown = nothing, name = ''): TemplateResult {
  return html`
    <section class="panel ${name}" id=${id} aria-labelledby="${id}-title">
      <header class="panel-head"><h2 id="${id}-title">${title}</h2>${beside}</header>
      ${content}
    </section>`;
}

export function empty(text: unknown, testId?: string): TemplateResult {
  return html`<p class="empty" data-testid=${testId ?? nothing}>${text}</p>`;
}

/** @param slim in a row among others. */
export function progressBar(stream: StreamStatus, slim = false): TemplateResult {
  const fraction = progress(stream);
  const percent = formatPercent(fraction);
  const text = fraction === null
    ? 'not known yet'
    : `${percent}, ${formatBytes(stream.bytesStreamed)} streamed, ${formatBytes(stream.bytesRemaining)} left`;
  return html`
    <div class="progress" data-state=${stream.state} data-slim=${slim}>
      <div class="track" role="progressbar" aria-label="Progress of ${nameOf(stream)}" aria-valuemin="0" aria-valuemax="100"
        aria-valuenow=${fraction === null ? nothing : Math.floor(fraction * 100)} aria-valuetext=${text}
        data-testid="stream-progress"
        ${properties({ '--streamed': String(fraction ?? 0), '--durable': String(durableProgress(stream) ?? 0) })}>
        <div class="streamed"></div>
        <div class="durable"></div>
      </div>
      <span class="percent number" data-testid="stream-percent">${percent}</span>
    </div>`;
}

export function streamLink(stream: StreamStatus): TemplateResult {
  return html`<a class="stream-name" href=${href('streams', stream.streamId)} data-testid="stream-link"
    ><span>${stream.domainName || stream.domain}</span> <span class="target">${stream.path}</span></a>`;
}
