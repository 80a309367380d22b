import { html, nothing, type TemplateResult } from 'lit-html';
import { repeat } from 'lit-html/directives/repeat.js';
import type { App, Page } from '../app.ts';
import { Feed, isReady } from '../feed.ts';
import { capitalize, formatDuration, formatPercent, formatSize, formatWords, secondsBetween } from '../format.ts';
import { imageName } from '../forms.ts';
import type { Domain, Image, ImagePage, StreamStatus } from '../model.ts';
import { href } from '../router.ts';
import { isFinished, progress } from '../streams.ts';
import { layersOf } from '../views/chain.ts';
import { badge, empty, pageHead, panel, problemNote, progressBar, time } from '../views/parts.ts';

const imagesMs = 30_000;
const domainsMs = 5_000;
const settleMs = 400;

/** What was deployed, and how far it has come. */
interface Deployed {
  readonly domain: Domain;
  /** The newest stream of the disk that was made on the image. */
  readonly stream: StreamStatus | undefined;
}

/** Images, and the domains that were made of them: from the start to the independent disk. */
export class DeploymentsPage implements Page {
  readonly title = 'Deployments';
  readonly #images: Feed<ImagePage>;
  readonly #deployed: Feed<readonly Deployed[]>;
  #settle: ReturnType<typeof setTimeout> | undefined;

  constructor(app: App) {
    const changed = (fresh: boolean) => fresh && app.store.notify();
    this.#images = new Feed(() => app.api.images({ limit: 200 }), () => imagesMs, changed);
    this.#deployed = new Feed(() => this.#load(app), () => domainsMs, changed);
  }

  enter(): void {
    this.#images.start();
    this.#deployed.start();
  }

  leave(): void {
    this.#images.stop();
    this.#deployed.stop();
  }

  refresh(): void {
    void this.#images.refresh();
    void this.#deployed.refresh();
  }

  watched(app: App): readonly string[] {
    return (this.#deployed.value ?? []).flatMap(({ stream }) => {
      const now = stream && (app.store.stream(stream.streamId) ?? stream);
      return now === undefined || isFinished(now.state) ? [] : [now.streamId];
    });
  }

  onState(): void {
    clearTimeout(this.#settle);
    this.#settle = setTimeout(() => void this.#deployed.refresh(), settleMs);
  }

  onDeployed(): void {
    void this.#deployed.refresh();
  }

  view(app: App): TemplateResult {
    const images = this.#images.value?.items ?? [];
    const hosts = (app.hosts.value ?? []).filter((host) => host.state === 'connected' && host.uri.startsWith('qemu')).map((host) => host.name);
    const may = app.session.may('domains:write');
    const deploy = (image?: Image) => app.actions.openDeploy(image, images, hosts);
    if (!isReady([this.#images, this.#deployed])) return html`${pageHead('Deployments')}${empty('Loading…')}`;
    const usable = images.some((image) => image.refusal === null);
    return html`
      ${pageHead('Deployments', nothing, may && usable ? html`<button type="button" class="primary" data-testid="btn-deploy-new" @click=${() => deploy()}>Deploy a domain…</button>` : nothing)}
      ${panel('deployed', 'Deployed domains', this.#deployedList(app))}
      ${panel('images', 'Images', this.#imageTable(may, deploy))}`;
  }

  async #load(app: App): Promise<readonly Deployed[]> {
    const domains: Domain[] = [];
    let cursor: string | undefined;
    do {
      const page = await app.api.domains({ limit: 1000, cursor });
      domains.push(...page.items.filter((domain) => domain.deployment !== null));
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    domains.sort((a, b) => Date.parse(b.deployment!.createdAt) - Date.parse(a.deployment!.createdAt));
    return Promise.all(domains.map(async (domain) => {
      const { items } = await app.api.streams({ q: domain.id, latest: true, limit: 10 });
      for (const status of items) app.store.apply(status);
      return { domain, stream: items.find((status) => status.path === domain.deployment!.target) };
    }));
  }

  #deployedList(app: App): TemplateResult {
    const { value, problem } = this.#deployed;
    if (value === undefined) return problem ? html`${problemNote(problem, 'deployed-problem')}` : empty('Loading…');
    if (value.length === 0) return empty('No domain of any host was deployed by this service.', 'no-deployments');
    return html`
      ${problemNote(problem, 'deployed-problem')}
      <ul class="rows deployed">
        ${repeat(value, ({ domain }) => domain.id, ({ domain, stream }) => deployedRow(app, domain, stream && (app.store.stream(stream.streamId) ?? stream)))}
      </ul>`;
  }

  #imageTable(may: boolean, deploy: (image: Image) => void): TemplateResult {
    const { value, problem } = this.#images;
    if (value === undefined) return problem ? html`${problemNote(problem, 'images-problem')}` : empty('Loading…');
    const away = value.repositories.filter((repository) => repository.state === 'unreachable');
    return html`
      ${away.map((repository) => html`<p class="note bad">Repository ${repository.name} cannot be reached: ${repository.lastError}</p>`)}
      ${value.items.length === 0 ? empty(value.repositories.length === 0 ? 'No image repository is configured.' : 'The repositories hold no image.') : html`
        <ul class="rows images">
          ${repeat(value.items, imageName, (image) => html`
            <li class="row" data-testid="image-row" data-image=${imageName(image)}>
              <div class="row-head">
                <strong class="image-name"><span class="muted">${image.repository}/</span>${image.name}</strong>
                ${image.refusal === null
                  ? html`<span class="muted">${[image.format, formatSize(image.size)].filter(Boolean).join(', ')}${image.backingChain.length > 0 ? `, on ${image.backingChain.length} more` : ''}</span>`
                  : badge('bad', 'Cannot be used', 'image-refused')}
                ${may && image.refusal === null ? html`<button type="button" class="row-action" data-testid="btn-deploy" data-image=${imageName(image)} aria-label="Deploy ${imageName(image)}"
                  @click=${() => deploy(image)}>Deploy…</button>` : nothing}
              </div>
              ${image.refusal === null ? nothing : html`<p class="row-reason">It ${image.refusal}</p>`}
            </li>`)}
        </ul>`}`;
  }
}

/** The way of a deployed domain, as far as it has come. */
function deployedRow(app: App, domain: Domain, stream: StreamStatus | undefined): TemplateResult {
  const { actions } = app;
  const disk = domain.disks.find(({ target }) => target === domain.deployment!.target);
  const independent = disk !== undefined && layersOf(disk).length === 1;
  const bootSeconds = secondsBetween(domain.deployment!.createdAt, stream?.bootReadyAt);
  const took = secondsBetween(domain.deployment!.createdAt, stream?.state === 'completed' ? stream.finishedAt : null);
  const fraction = stream === undefined ? null : progress(stream);
  const steps: readonly [string, string, boolean][] = [
    ['Runs', capitalize(formatWords(domain.state)), domain.state === 'running'],
    ['Boot data local', stream?.bootReadyAt ? `after ${formatDuration(bootSeconds)}` : stream?.hotRemaining ? `${formatSize(stream.hotRemaining)} left` : independent ? 'yes' : 'not known', stream?.bootReadyAt != null || independent],
    ['Independent', independent ? (took === null ? 'yes' : `after ${formatDuration(took)}`) : fraction === null ? 'no stream' : formatPercent(fraction), independent],
  ];
  const remove = () => {
    if (window.confirm(`Stop ${domain.name}, remove it from ${domain.host} and delete its disk for good?`)) void actions.removeDomain(domain, true);
  };
  return html`
    <li class="row" data-testid="deployment-row" data-domain=${domain.id} data-name=${domain.name} data-independent=${independent} data-focus-row=${domain.id}>
      <div class="row-head">
        <strong>${domain.name}</strong>
        <span class="muted">${domain.deployment!.image} on ${domain.host}, ${time(domain.deployment!.createdAt)}</span>
        <span class="row-action">
          ${stream ? html`<a href=${href('streams', stream.streamId)}>Its stream</a>` : nothing}
          ${app.session.may('domains:write') ? html`<button type="button" class="quiet" data-testid="btn-remove" aria-label="Remove ${domain.name}" aria-disabled=${actions.busy.has(domain.id)} @click=${remove}>Remove…</button>` : nothing}
        </span>
      </div>
      <ol class="milestones" aria-label="How far ${domain.name} is">
        ${steps.map(([name, text, done]) => html`<li data-done=${done}><span class="mark" aria-hidden="true"></span><span>${name}</span> <span class="muted number">${text}<span class="visually-hidden">${done ? ', done' : ''}</span></span></li>`)}
      </ol>
      ${stream !== undefined && !isFinished(stream.state) ? progressBar(stream, true) : nothing}
      ${problemNote(actions.problems.get(domain.id), 'deployment-problem', () => actions.dismiss(domain.id))}
    </li>`;
}
