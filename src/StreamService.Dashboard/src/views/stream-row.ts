import { html, nothing, type TemplateResult } from 'lit-html';
import { live } from 'lit-html/directives/live.js';
import {
  bandwidthToMebibytes, formatBandwidth, formatBytes, formatDuration, formatPercent, formatRate, none, secondsBetween,
} from '../format.ts';
import type { StreamState, StreamStatus } from '../model.ts';
import { currentRate, describeState, durableProgress, isFinished, progress } from '../streams.ts';
import type { Context } from './context.ts';
import { capitalize } from './domains.ts';
import { badge, fact, problemNote, properties, time, type Tone } from './parts.ts';

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

export function streamRow(context: Context, stream: StreamStatus): TemplateResult {
  const { streamId, state } = stream;
  const name = streamName(stream);
  return html`
    <li class="card stream" id="stream-${streamId}" tabindex="-1" aria-label="${name}, ${state}" data-testid="stream-row"
      data-stream-id=${streamId} data-state=${state} data-domain=${stream.domain} data-disk=${stream.path}
      data-focus-row=${streamId} aria-busy=${context.actions.busy.has(streamId)}>
      <div class="card-head">
        <h4>${stream.domainName || stream.domain} <span class="target">${stream.path}</span></h4>
        <span class="muted">on ${stream.host}</span>
        ${badge(tones[state] ?? 'calm', capitalize(state), 'stream-state', describeState(state))}
        <div class="actions">${controls(context, stream, name)}</div>
      </div>
      ${bar(stream, name)}
      ${isFinished(state) ? finishedFacts(stream) : liveFacts(context, stream, name)}
      ${explanation(stream)}
      ${problemNote(context.actions.problems.get(streamId), 'stream-problem', () => context.actions.dismiss(streamId))}
    </li>`;
}

function streamName(stream: StreamStatus): string {
  return `${stream.domainName || stream.domain} ${stream.path}`;
}

function bar(stream: StreamStatus, name: string): TemplateResult {
  const fraction = progress(stream);
  const percent = formatPercent(fraction);
  const text = fraction === null
    ? 'not known yet'
    : `${percent}, ${formatBytes(stream.bytesStreamed)} streamed, ${formatBytes(stream.bytesRemaining)} left`;
  return html`
    <div class="progress">
      <div class="track" role="progressbar" aria-label="Progress of ${name}" aria-valuemin="0" aria-valuemax="100"
        aria-valuenow=${fraction === null ? nothing : Math.floor(fraction * 100)} aria-valuetext=${text}
        data-testid="stream-progress"
        ${properties({ '--streamed': String(fraction ?? 0), '--durable': String(durableProgress(stream) ?? 0) })}>
        <div class="streamed"></div>
        <div class="durable"></div>
      </div>
      <span class="percent number" data-testid="stream-percent">${percent}</span>
    </div>`;
}

/** The facts have fixed places, so that nothing moves while the numbers do. */
function liveFacts(context: Context, stream: StreamStatus, name: string): TemplateResult {
  const copying = stream.state === 'running';
  return html`
    <div class="live">
      <dl class="facts numbers">
        ${fact('Rate', copying ? formatRate(currentRate(stream)) : none, 'stream-rate')}
        ${fact('Time left', copying ? formatDuration(stream.etaSeconds) : none, 'stream-eta')}
        ${fact('Streamed', formatBytes(stream.bytesStreamed), 'stream-streamed', 'Copied by this stream')}
        ${fact('Durable', formatBytes(stream.bytesDurable), 'stream-durable', 'Of those, what a crash can no longer undo')}
        ${fact('Remaining', formatBytes(stream.bytesRemaining), 'stream-remaining', 'Still only in the backing chain')}
      </dl>
      ${stream.state === 'finalizing' || !context.session.may('streams:write') ? nothing : limit(context, stream, name)}
    </div>`;
}

function limit({ actions }: Context, stream: StreamStatus, name: string): TemplateResult {
  const id = `bandwidth-${stream.streamId}`;
  const text = () => actions.drafts.get(stream.streamId) ?? bandwidthToMebibytes(stream.bandwidth);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    // Asked for now: what was typed since the last frame counts as well.
    void actions.setBandwidth(stream, text());
  };
  return html`
    <form class="limit" @submit=${submit} title="In MiB per second; 0 sets no limit" novalidate>
      <label for=${id}>Limit<span class="visually-hidden"> of ${name}, in MiB per second; 0 sets none</span></label>
      <input id=${id} data-testid="bandwidth-input" type="text" inputmode="decimal" autocomplete="off" .value=${live(text())}
        @input=${(event: Event) => actions.draft(stream, (event.target as HTMLInputElement).value)}
        @keydown=${(event: KeyboardEvent) => event.key === 'Escape' && actions.dropDraft(stream)} />
      <span aria-hidden="true" class="muted">MiB/s</span>
      <button type="submit" data-testid="btn-bandwidth" aria-label="Set the limit of ${name}">Set</button>
    </form>`;
}

function finishedFacts(stream: StreamStatus): TemplateResult {
  const seconds = secondsBetween(stream.startedAt ?? stream.createdAt, stream.finishedAt);
  return html`
    <dl class="facts numbers">
      ${fact('Finished', time(stream.finishedAt), 'stream-finished')}
      ${fact('Took', formatDuration(seconds), 'stream-took')}
      ${fact('Streamed', formatBytes(stream.bytesStreamed), 'stream-streamed', 'Copied by this stream')}
      ${stream.state === 'completed'
        ? nothing
        : fact('Remaining', formatBytes(stream.bytesRemaining), 'stream-remaining', 'Still only in the backing chain')}
    </dl>`;
}

/** Why it waits or failed, or else, while it lives, what it does and on which terms. */
function explanation(stream: StreamStatus): TemplateResult | typeof nothing {
  if (stream.error) {
    const { title, detail, code } = stream.error;
    return html`
      <p class="note bad" data-testid="stream-error" data-code=${code ?? ''}>
        <strong>${title ?? 'Failed'}.</strong> ${detail ?? ''}
      </p>`;
  }
  if (stream.reason) return html`<p class="note warn" data-testid="stream-reason">${stream.reason}</p>`;
  if (isFinished(stream.state)) return nothing;
  const terms = [
    stream.policy === 'adaptive' ? 'gives way to the guest' : stream.policy === 'fixed' ? 'holds its pace' : '',
    stream.priority && stream.priority !== 'normal' ? `${stream.priority} priority` : '',
    stream.bandwidth === undefined || stream.bandwidth === null ? '' : `limit ${formatBandwidth(stream.bandwidth)}`,
  ].filter((term) => term !== '');
  return html`
    <p class="note" data-testid="stream-note">
      ${describeState(stream.state)} <span class="terms">${capitalize(terms.join(', '))}</span>
    </p>`;
}

function controls({ store, actions, session }: Context, stream: StreamStatus, name: string): TemplateResult | typeof nothing {
  if (!session.may('streams:write')) return nothing;
  const { state } = stream;
  const busy = actions.busy.has(stream.streamId);
  if (isFinished(state)) {
    if (state === 'completed') return nothing;
    const domain = store.domains.value?.items.find(({ id }) => id === stream.domain);
    const disk = domain?.disks.find(({ target }) => target === stream.path);
    const live = [...store.streams.values()].some((other) =>
      other.domain === stream.domain && other.path === stream.path && !isFinished(other.state));
    return domain && disk?.streamable && !live
      ? html`<button type="button" data-testid="btn-stream-again" aria-label="Stream again: ${name}"
          @click=${() => actions.openForm(domain, disk)}>Stream again</button>`
      : nothing;
  }
  if (state === 'finalizing') return nothing;
  // One button with two meanings: it keeps the focus when its meaning changes.
  const paused = state === 'paused';
  return html`
    <button type="button" data-testid=${paused ? 'btn-resume' : 'btn-pause'} aria-label="${paused ? 'Resume' : 'Pause'} ${name}"
      aria-disabled=${busy} @click=${() => actions.setPaused(stream, !paused)}>${paused ? 'Resume' : 'Pause'}</button>
    <button type="button" data-testid="btn-cancel" aria-label="Cancel ${name}" aria-disabled=${busy}
      title="What was copied stays, and a later stream goes on from it" @click=${() => actions.cancel(stream)}>Cancel</button>`;
}
