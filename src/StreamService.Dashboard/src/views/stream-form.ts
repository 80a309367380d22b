import { html, nothing, type TemplateResult } from 'lit-html';
import type { Actions, StreamForm } from '../actions.ts';
import type { Policy, Priority } from '../model.ts';
import type { Context } from './context.ts';
import { problemNote } from './parts.ts';

/**
 * The dialog that starts a stream. The browser's own: it keeps the focus inside, and gives it back when it closes. It is
 * always in the page, see {@link showStreamForm}.
 */
export function streamForm({ store, actions }: Context): TemplateResult {
  const { form } = actions;
  return html`
    <dialog aria-labelledby="stream-form-title" data-testid="stream-dialog" @close=${() => actions.closeForm()}>
      ${form === undefined ? nothing : content(form, actions, () => store.notify())}
    </dialog>`;
}

/** Opens or closes the dialog, once the page is drawn: neither can be said by an attribute. */
export function showStreamForm(root: HTMLElement, form: StreamForm | undefined): void {
  const dialog = root.querySelector<HTMLDialogElement>('dialog[data-testid="stream-dialog"]')!;
  if (form !== undefined && !dialog.open) {
    dialog.showModal();
    dialog.querySelector<HTMLInputElement>('input')?.select();
  } else if (form === undefined && dialog.open) dialog.close();
}

function content(form: StreamForm, actions: Actions, changed: () => void): TemplateResult {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    void actions.submitForm();
  };
  return html`
    <form novalidate @submit=${submit}>
      <h2 id="stream-form-title">Stream ${form.domain.name} <span class="target">${form.disk.target}</span></h2>
      <p class="muted">
        Copies all that is missing into the disk while ${form.domain.name} runs, then makes it independent of its backing
        chain (mode full).
      </p>
      ${fields(form, changed)}
      ${problemNote(form.problem, 'stream-form-problem')}
      <div class="form-actions">
        <button type="button" data-testid="btn-stream-close" @click=${() => actions.closeForm()}>Close</button>
        <button type="submit" class="primary" data-testid="btn-stream-start" aria-disabled=${form.busy}>
          ${form.busy ? 'Starting…' : 'Start stream'}
        </button>
      </div>
    </form>`;
}

function fields(form: StreamForm, changed: () => void): TemplateResult {
  const policies: [Policy, string][] = [
    ['adaptive', 'Adaptive: gives way to the guest'],
    ['fixed', 'Fixed: holds the bandwidth whatever the guest does'],
  ];
  const priorities: [Priority, string][] = [['low', 'Low'], ['normal', 'Normal'], ['high', 'High']];
  return html`
    <div class="field">
      <label for="form-bandwidth">Bandwidth in MiB per second</label>
      <input id="form-bandwidth" data-testid="stream-bandwidth-input" type="text" inputmode="decimal" autocomplete="off"
        aria-describedby="form-bandwidth-hint" .value=${form.bandwidth}
        @input=${(event: Event) => {
          form.bandwidth = (event.target as HTMLInputElement).value;
          changed();
        }} />
      <p class="hint" id="form-bandwidth-hint">0 sets no limit.</p>
    </div>
    <fieldset class="field">
      <legend>Policy</legend>
      ${policies.map(([value, text]) => html`
        <label class="choice">
          <input type="radio" name="policy" value=${value} data-testid="policy-${value}" .checked=${form.policy === value}
            @change=${() => {
              form.policy = value;
              changed();
            }} />
          ${text}
        </label>`)}
    </fieldset>
    <div class="field">
      <label for="form-priority">Priority</label>
      <select id="form-priority" data-testid="priority-select"
        @change=${(event: Event) => {
          form.priority = (event.target as HTMLSelectElement).value as Priority;
          changed();
        }}>
        ${priorities.map(([value, text]) => html`<option value=${value} ?selected=${form.priority === value}>${text}</option>`)}
      </select>
    </div>`;
}
