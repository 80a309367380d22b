import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import type { Host } from '../model.ts';
import type { Loaded } from '../store.ts';
import { badge, fact, problemNote } from './parts.ts';

export function hostsView({ value, problem }: Loaded<readonly Host[]>): TemplateResult {
  return html`
    <section id="hosts" aria-labelledby="hosts-title">
      <h2 id="hosts-title">Hosts</h2>
      ${problemNote(problem, 'hosts-problem')}
      ${value === undefined
        ? html`<p class="empty">${problem ? 'Not known yet.' : 'Loading…'}</p>`
        : value.length === 0
          ? html`<p class="empty">No host is configured.</p>`
          : html`<ul class="cards">${repeat(value, ({ name }) => name, hostCard)}</ul>`}
    </section>`;
}

function hostCard(host: Host): TemplateResult {
  const connected = host.state === 'connected';
  const error = typeof host.lastError === 'string' ? host.lastError : (host.lastError?.detail ?? host.lastError?.title);
  const hypervisor = [host.hypervisor, host.hypervisorVersion].filter(Boolean).join(' ');
  return html`
    <li class="card host" data-testid="host-row" data-host=${host.name}>
      <div class="card-head">
        <h3>${host.name}</h3>
        ${badge(connected ? 'good' : 'bad', connected ? 'Connected' : 'Unreachable', 'host-state')}
      </div>
      <p class="address">${host.uri}</p>
      ${error
        ? html`<p class=${connected ? 'note' : 'note bad'} data-testid="host-error">
            ${connected ? html`Last error: ` : nothing}${error}
          </p>`
        : nothing}
      ${hypervisor || host.libvirtVersion
        ? html`<dl class="facts">
            ${hypervisor ? fact('Hypervisor', hypervisor) : nothing}
            ${host.libvirtVersion ? fact('libvirt', host.libvirtVersion) : nothing}
          </dl>`
        : nothing}
    </li>`;
}
