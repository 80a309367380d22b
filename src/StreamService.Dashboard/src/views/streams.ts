import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import type { StreamStatus } from '../model.ts';
import type { StreamGroups } from '../streams.ts';
import type { Context } from './context.ts';
import { problemNote } from './parts.ts';
import { streamRow } from './stream-row.ts';

export function streamsView(context: Context, { attention, active, finished }: StreamGroups): TemplateResult {
  const { store, actions, poller } = context;
  const shown = finished.slice(0, actions.finishedShown);
  const more = finished.length > shown.length
    ? () => actions.showMoreFinished()
    : store.olderStreams === undefined
      ? undefined
      : () => {
          actions.showMoreFinished();
          void poller.moreStreams();
        };
  return html`
    <section id="streams" aria-labelledby="streams-title">
      <h2 id="streams-title">Streams</h2>
      ${store.hub === 'connected' ? nothing : problemNote(store.streamsProblem, 'streams-problem')}
      ${attention.length > 0 ? list(context, 'Needs attention', 'attention', attention) : nothing}
      ${active.length > 0
        ? list(context, 'Active', 'active', active)
        : html`<p class="empty" data-testid="no-active">${emptyText(context, attention.length + finished.length > 0)}</p>`}
      ${shown.length > 0 ? list(context, 'Finished', 'finished', shown) : nothing}
      ${more
        ? html`<button type="button" class="more" data-testid="btn-more-streams" @click=${more}>Older streams</button>`
        : nothing}
    </section>`;
}

function emptyText({ store }: Context, others: boolean): string {
  if (!store.streamsLoaded) return 'Loading…';
  return others ? 'No stream is active.' : 'No stream yet. Choose a disk below and press its Stream button.';
}

function list(context: Context, title: string, name: string, streams: readonly StreamStatus[]): TemplateResult {
  return html`
    <h3 class="group" id="group-${name}">${title} <span class="count">${streams.length}</span></h3>
    <ul class="cards streams" aria-labelledby="group-${name}" data-testid="streams-${name}">
      ${repeat(streams, ({ streamId }) => streamId, (stream) => streamRow(context, stream))}
    </ul>`;
}
