import { html, type TemplateResult } from 'lit-html';
import type { Session } from '../session.ts';
import { problemNote } from './parts.ts';

/** All there is to see before one has signed in. */
export function signInView(session: Session, onSubmit: () => void, changed: () => void): TemplateResult {
  return html`
    <main class="sign-in">
      <form class="card" novalidate data-testid="sign-in" @submit=${(event: SubmitEvent) => {
        event.preventDefault();
        onSubmit();
      }}>
        <h1><img src="favicon.svg" alt="" width="24" height="24" />StreamService</h1>
        <div class="field">
          <label for="credential">API key or access token</label>
          <input id="credential" data-testid="credential-input" type="password" autocomplete="current-password" autofocus required
            .value=${session.draft} @input=${(event: Event) => {
              session.draft = (event.target as HTMLInputElement).value;
              changed();
            }} />
          <p class="hint">It is sent once; this browser keeps a session, not the key.</p>
        </div>
        ${problemNote(session.problem, 'sign-in-problem')}
        <div class="form-actions">
          <button type="submit" class="primary" data-testid="btn-sign-in" aria-disabled=${session.busy || session.draft.trim() === ''}>
            ${session.busy ? 'Signing in…' : 'Sign in'}
          </button>
        </div>
      </form>
    </main>`;
}
