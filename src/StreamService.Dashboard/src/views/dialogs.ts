import { html, nothing, type TemplateResult } from 'lit-html';
import type { Actions, OpenForm } from '../actions.ts';
import type { App } from '../app.ts';
import { faultsOf } from '../format.ts';
import { imageName, type BudgetForm, type DeployForm, type MigrationForm, type StreamFields, type StreamForm } from '../forms.ts';
import type { Budget, Order, Policy, Priority, Problem } from '../model.ts';
import { problemNote } from './parts.ts';

/**
 * The dialog of the form that is open. The browser's own: it keeps the focus inside, and gives it back when it closes. It is
 * always in the page, see {@link showDialog}.
 */
export function dialog(app: App): TemplateResult {
  const { actions } = app;
  const { open } = actions;
  return html`
    <dialog id="dialog" aria-labelledby="dialog-title" data-testid=${open === undefined ? 'dialog' : `${open.kind}-dialog`} @close=${() => actions.closeForm()}>
      ${open === undefined ? nothing : content(open, actions, () => app.store.notify())}
    </dialog>`;
}

/** Opens or closes the dialog, once the page is drawn: neither can be said by an attribute. */
export function showDialog(root: HTMLElement, open: OpenForm | undefined): void {
  const element = root.querySelector<HTMLDialogElement>('#dialog');
  if (element === null) return;
  if (open !== undefined && !element.open) {
    element.showModal();
    element.querySelector<HTMLElement>('[data-first]')?.focus();
  } else if (open === undefined && element.open) element.close();
}

type Changed = () => void;

interface Parts {
  readonly title: unknown;
  readonly lead: string;
  readonly body: unknown;
  readonly send: string;
  readonly sending: string;
  readonly name: string;
  /** The members whose faults stand beside their fields. */
  readonly told: readonly string[];
}

function content(open: OpenForm, actions: Actions, changed: Changed): TemplateResult {
  const parts = partsOf(open, changed);
  const { form } = open;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    void actions.submit();
  };
  return html`
    <form novalidate @submit=${submit}>
      <h2 id="dialog-title">${parts.title}</h2>
      <p class="muted">${parts.lead}</p>
      ${parts.body}
      ${problemNote(form.problem, `${parts.name}-form-problem`, undefined, parts.told)}
      <div class="form-actions">
        <button type="button" data-testid="btn-${parts.name}-close" @click=${() => actions.closeForm()}>Close</button>
        <button type="submit" class="primary" data-testid="btn-${parts.name}-start" aria-disabled=${form.busy}>${form.busy ? parts.sending : parts.send}</button>
      </div>
    </form>`;
}

function partsOf(open: OpenForm, changed: Changed): Parts {
  switch (open.kind) {
    case 'stream':
      return {
        name: 'stream', told: ['bandwidth'], send: 'Start stream', sending: 'Starting…',
        title: html`Stream ${open.form.domain.name} <span class="target">${open.form.disk.target}</span>`,
        lead: `Copies all that is missing into the disk while ${open.form.domain.name} runs, then makes it independent of its backing chain.`,
        body: streamBody(open.form, changed),
      };
    case 'migration':
      return {
        name: 'migration', told: ['destination', 'stream.bandwidth'], send: 'Migrate', sending: 'Looking at both hosts…',
        title: open.form.domains.length === 1 ? `Migrate ${open.form.domain.name}` : 'Migrate a domain',
        lead: 'It runs on at the destination as soon as its memory is there; its disks are streamed behind it. Until the switch it can be taken back.',
        body: migrationBody(open.form, changed),
      };
    case 'deploy':
      return {
        name: 'deploy', told: deployMembers, send: 'Deploy', sending: 'Deploying…', title: 'Deploy a domain',
        lead: 'It boots from the image at once; its disk is streamed behind it, and depends on the image no more when that is done.',
        body: deployBody(open.form, changed),
      };
    case 'budget':
      return {
        name: 'budget', told: ['name', 'scope', 'match', 'bytesPerSecond'], send: 'Save', sending: 'Saving…', title: open.form.known === undefined ? 'New budget' : `Budget ${open.form.known.name}`,
        lead: 'A limit that streams share by their priorities, in force at once.',
        body: budgetBody(open.form, changed),
      };
  }
}

function streamBody(form: StreamForm, changed: Changed): TemplateResult {
  return html`${bandwidth('form-bandwidth', 'stream-bandwidth-input', 'Bandwidth in MiB per second', form.fields, 'bandwidth', form.problem, changed, true)}${terms(form.fields, changed)}`;
}

function migrationBody(form: MigrationForm, changed: Changed): TemplateResult {
  return html`
    ${form.domains.length > 1
      ? select('form-domain', 'domain-select', 'Domain', form.domains.map(({ id, name, host }) => [id, `${name} on ${host}`]), form.domain.id, (value) => {
          form.choose(value);
          changed();
        }, { first: true })
      : nothing}
    ${select('form-destination', 'destination-select', 'Destination', form.destinations.map((name) => [name, name]), form.destination, (value) => {
      form.destination = value;
      changed();
    }, { first: form.domains.length === 1, faults: faultsOf(form.problem, 'destination') })}
    ${bandwidth('form-migration-bandwidth', 'migration-bandwidth-input', 'Bandwidth of the streams in MiB per second', form, 'stream.bandwidth', form.problem, changed)}
    ${check('verify-input', 'Compare the contents with the source before its export ends', form.verify, (value) => {
      form.verify = value;
      changed();
    })}`;
}

const deployMembers = ['name', 'host', 'image', 'format', 'memoryMiB', 'vcpus', 'size', 'stream.bandwidth'];

function deployBody(form: DeployForm, changed: Changed): TemplateResult {
  const { problem } = form;
  const set = <K extends 'name' | 'memoryMiB' | 'vcpus' | 'sizeGiB' | 'host' | 'image' | 'format'>(member: K) => (value: string) => {
    form[member] = value;
    changed();
  };
  return html`
    ${text('deploy-name', 'deploy-name', 'Name', form.name, set('name'), { first: true, faults: faultsOf(problem, 'name') })}
    ${select('deploy-image', 'deploy-image', 'Image', form.images.map((image) => [imageName(image), imageName(image)]), form.image, set('image'), { faults: faultsOf(problem, 'image') })}
    ${select('deploy-host', 'deploy-host', 'Host', form.hosts.map((name) => [name, name]), form.host, set('host'), { faults: faultsOf(problem, 'host'), hint: form.hosts.length === 0 ? 'No libvirt host answers.' : '' })}
    <div class="pair">
      ${text('deploy-memory', 'deploy-memory', 'Memory in MiB', form.memoryMiB, set('memoryMiB'), { faults: faultsOf(problem, 'memoryMiB'), number: true })}
      ${text('deploy-vcpus', 'deploy-vcpus', 'Processors', form.vcpus, set('vcpus'), { faults: faultsOf(problem, 'vcpus'), number: true })}
    </div>
    <div class="pair">
      ${text('deploy-size', 'deploy-size', 'Disk in GiB', form.sizeGiB, set('sizeGiB'), { faults: faultsOf(problem, 'size'), hint: 'Empty: as large as the image.', number: true })}
      ${select('deploy-format', 'deploy-format', 'Format', [['qcow2', 'qcow2'], ['qed', 'QED']], form.format, set('format'), { faults: faultsOf(problem, 'format') })}
    </div>
    ${check('deploy-copy-on-read', 'What the guest reads stays in its disk', form.copyOnRead, (value) => {
      form.copyOnRead = value;
      changed();
    })}
    ${check('deploy-stream', 'Stream the disk behind it', form.stream, (value) => {
      form.stream = value;
      changed();
    })}
    ${form.stream ? html`
      ${bandwidth('deploy-bandwidth', 'deploy-bandwidth', 'Bandwidth in MiB per second', form.fields, 'stream.bandwidth', problem, changed)}
      ${terms(form.fields, changed)}` : nothing}`;
}

function budgetBody(form: BudgetForm, changed: Changed): TemplateResult {
  const scopes: [Budget['scope'], string][] = [['service', 'All streams'], ['host', 'The streams of a host'], ['source', 'What reads from an image source'], ['label', 'Domains with a label']];
  return html`
    ${form.known === undefined ? text('budget-name', 'budget-name', 'Name', form.name, (value) => {
      form.name = value;
      changed();
    }, { first: true, faults: faultsOf(form.problem, 'name') }) : nothing}
    ${select('budget-scope', 'budget-scope', 'Limits', scopes, form.scope, (value) => {
      form.scope = value as Budget['scope'];
      changed();
    }, { faults: faultsOf(form.problem, 'scope') })}
    ${form.scope === 'service' ? nothing : text('budget-match', 'budget-match', form.scope === 'host' ? 'Host' : form.scope === 'label' ? 'Label' : 'Host of the image’s address, or folder of its file', form.match, (value) => {
      form.match = value;
      changed();
    }, { faults: faultsOf(form.problem, 'match') })}
    ${bandwidth('budget-bandwidth', 'budget-bandwidth', 'MiB per second', form, 'bytesPerSecond', form.problem, changed, form.known !== undefined)}`;
}

function terms(fields: StreamFields, changed: Changed): TemplateResult {
  const policies: [Policy, string][] = [['adaptive', 'Adaptive: gives way to the guest'], ['fixed', 'Fixed: holds the bandwidth whatever the guest does']];
  const priorities: [Priority, string][] = [['low', 'Low'], ['normal', 'Normal'], ['high', 'High']];
  const orders: [Order, string][] = [['sequential', 'From the first byte to the last'], ['hotFirst', 'What guests read first, first']];
  return html`
    <fieldset class="field">
      <legend>Policy</legend>
      ${policies.map(([value, words]) => html`
        <label class="choice">
          <input type="radio" name="policy" value=${value} data-testid="policy-${value}" .checked=${fields.policy === value}
            @change=${() => {
              fields.policy = value;
              changed();
            }} />
          ${words}
        </label>`)}
    </fieldset>
    <div class="pair">
      ${select('form-priority', 'priority-select', 'Priority', priorities, fields.priority, (value) => {
        fields.priority = value as Priority;
        changed();
      })}
      ${select('form-order', 'order-select', 'Order', orders, fields.order, (value) => {
        fields.order = value as Order;
        changed();
      })}
    </div>`;
}

interface FieldOptions {
  readonly faults?: readonly string[];
  readonly hint?: string;
  /** Whether it has the focus when the dialog opens. */
  readonly first?: boolean;
  readonly number?: boolean;
}

function bandwidth(id: string, testId: string, label: string, of: { bandwidth: string }, member: string, problem: Problem | undefined, changed: Changed, first = false): TemplateResult {
  return text(id, testId, label, of.bandwidth, (value) => {
    of.bandwidth = value;
    changed();
  }, { faults: faultsOf(problem, member), hint: '0 sets no limit.', number: true, first });
}

function text(id: string, testId: string, label: string, value: string, set: (value: string) => void, options: FieldOptions = {}): TemplateResult {
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      <input id=${id} data-testid=${testId} type="text" inputmode=${options.number ? 'decimal' : 'text'} autocomplete="off" spellcheck="false" ?data-first=${options.first}
        aria-invalid=${hasFaults(options)} aria-describedby=${describedBy(id, options)} .value=${value}
        @input=${(event: Event) => set((event.target as HTMLInputElement).value)} />
      ${below(id, options)}
    </div>`;
}

function select(id: string, testId: string, label: string, choices: readonly (readonly [string, string])[], value: string, set: (value: string) => void, options: FieldOptions = {}): TemplateResult {
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      <select id=${id} data-testid=${testId} ?data-first=${options.first} aria-invalid=${hasFaults(options)} aria-describedby=${describedBy(id, options)}
        @change=${(event: Event) => set((event.target as HTMLSelectElement).value)}>
        ${choices.map(([choice, words]) => html`<option value=${choice} ?selected=${value === choice}>${words}</option>`)}
      </select>
      ${below(id, options)}
    </div>`;
}

function check(testId: string, words: string, value: boolean, set: (value: boolean) => void): TemplateResult {
  return html`
    <label class="choice field">
      <input type="checkbox" data-testid=${testId} .checked=${value} @change=${(event: Event) => set((event.target as HTMLInputElement).checked)} />
      ${words}
    </label>`;
}

function hasFaults({ faults = [] }: FieldOptions): 'true' | typeof nothing {
  return faults.length > 0 ? 'true' : nothing;
}

function describedBy(id: string, { faults = [], hint = '' }: FieldOptions): string | typeof nothing {
  return [faults.length > 0 ? `${id}-fault` : '', hint === '' ? '' : `${id}-hint`].filter((name) => name !== '').join(' ') || nothing;
}

function below(id: string, { faults = [], hint = '' }: FieldOptions): TemplateResult {
  return html`
    ${faults.length > 0 ? html`<p class="fault" id="${id}-fault" data-testid="fault">${faults.join(' ')}</p>` : nothing}
    ${hint === '' ? nothing : html`<p class="hint" id="${id}-hint">${hint}</p>`}`;
}
