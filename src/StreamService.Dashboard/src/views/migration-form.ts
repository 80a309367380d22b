import { html, nothing, type TemplateResult } from 'lit-html';
import type { Actions, MigrationForm } from '../actions.ts';
import type { Context } from './context.ts';
import { problemNote } from './parts.ts';

/** The dialog that begins a migration; always in the page, as the one of streams. */
export function migrationForm({ store, actions }: Context): TemplateResult {
  const { migrationForm: form } = actions;
  return html`
    <dialog aria-labelledby="migration-form-title" data-testid="migration-dialog" @close=${() => actions.closeMigrationForm()}>
      ${form === undefined ? nothing : content(form, actions, () => store.notify())}
    </dialog>`;
}

/** Opens or closes the dialog, once the page is drawn: neither can be said by an attribute. */
export function showMigrationForm(root: HTMLElement, form: MigrationForm | undefined): void {
  const dialog = root.querySelector<HTMLDialogElement>('dialog[data-testid="migration-dialog"]')!;
  if (form !== undefined && !dialog.open) dialog.showModal();
  else if (form === undefined && dialog.open) dialog.close();
}

function content(form: MigrationForm, actions: Actions, changed: () => void): TemplateResult {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    void actions.submitMigration();
  };
  return html`
    <form novalidate @submit=${submit}>
      <h2 id="migration-form-title">Migrate ${form.domain.name}</h2>
      <p class="muted">
        It runs on at the destination as soon as its memory is there; its disks are streamed behind it. Until the switch it can be
        taken back.
      </p>
      <div class="field">
        <label for="form-destination">Destination</label>
        <select id="form-destination" data-testid="destination-select"
          @change=${(event: Event) => {
            form.destination = (event.target as HTMLSelectElement).value;
            changed();
          }}>
          ${form.destinations.map((name) => html`<option value=${name} ?selected=${form.destination === name}>${name}</option>`)}
        </select>
      </div>
      <div class="field">
        <label for="form-migration-bandwidth">Bandwidth of the streams in MiB per second</label>
        <input id="form-migration-bandwidth" data-testid="migration-bandwidth-input" type="text" inputmode="decimal" autocomplete="off"
          aria-describedby="form-migration-bandwidth-hint" .value=${form.bandwidth}
          @input=${(event: Event) => {
            form.bandwidth = (event.target as HTMLInputElement).value;
            changed();
          }} />
        <p class="hint" id="form-migration-bandwidth-hint">0 sets no limit.</p>
      </div>
      <label class="choice field">
        <input type="checkbox" data-testid="verify-input" .checked=${form.verify}
          @change=${(event: Event) => {
            form.verify = (event.target as HTMLInputElement).checked;
            changed();
          }} />
        Compare the contents with the source before its export ends
      </label>
      ${problemNote(form.problem, 'migration-form-problem')}
      <div class="form-actions">
        <button type="button" data-testid="btn-migration-close" @click=${() => actions.closeMigrationForm()}>Close</button>
        <button type="submit" class="primary" data-testid="btn-migration-start" aria-disabled=${form.busy}>
          ${form.busy ? 'Looking at both hosts…' : 'Migrate'}
        </button>
      </div>
    </form>`;
}
