import type {
  Caller, DiskAddress, Domain, Host, Migration, MigrationRequest, Page, Problem, StreamChange, StreamRequest, StreamStatus,
} from './model.ts';

/** The service refused, or could not be reached; `problem` says why in words for the person at the page. */
export class ApiError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail ?? problem.title ?? 'The request failed');
    this.name = 'ApiError';
    this.problem = problem;
  }
}

/** Long enough for a hypervisor that takes its time, short enough that nobody waits for a dead connection. */
const requestTimeoutMs = 30_000;

/** The public HTTP API, one method a call. Every method rejects with {@link ApiError} and nothing else. */
export class Api {
  /** Called when the service does not know the caller any more. */
  onSignedOut: () => void = () => {};

  readonly #base: string;

  /** @param base where the service's root is; the page's own folder by default, so that a path prefix works. */
  constructor(base: string = document.baseURI) {
    this.#base = base;
  }

  session(): Promise<Caller> {
    return this.#request('GET', 'session');
  }

  signIn(credential: string): Promise<Caller> {
    return this.#request('POST', 'session', { credential });
  }

  signOut(): Promise<void> {
    return this.#request('DELETE', 'session');
  }

  hosts(): Promise<readonly Host[]> {
    return this.#request('GET', 'hosts');
  }

  domains(query: { limit: number; cursor?: string | undefined }): Promise<Page<Domain>> {
    return this.#request('GET', `domains?${search(query)}`);
  }

  streams(query: { limit: number; cursor?: string | undefined }): Promise<Page<StreamStatus>> {
    return this.#request('GET', `streams?${search(query)}`);
  }

  stream(streamId: string): Promise<StreamStatus> {
    return this.#request('GET', `streams/${encodeURIComponent(streamId)}`);
  }

  start(disk: DiskAddress, request: StreamRequest): Promise<StreamStatus> {
    return this.#request('POST', streamPath(disk), request);
  }

  change(disk: DiskAddress, change: StreamChange): Promise<StreamStatus | undefined> {
    return this.#request('PATCH', streamPath(disk), change);
  }

  cancel(disk: DiskAddress): Promise<StreamStatus | undefined> {
    return this.#request('DELETE', streamPath(disk));
  }

  migrations(query: { limit: number }): Promise<Page<Migration>> {
    return this.#request('GET', `migrations?${search(query)}`);
  }

  migrate(domain: string, request: MigrationRequest): Promise<Migration> {
    return this.#request('POST', `domains/${encodeURIComponent(domain)}/migrations`, request);
  }

  /** @param storage whether what a completed one left on its source is meant; else it goes back. */
  endMigration(migrationId: string, storage: boolean): Promise<Migration> {
    return this.#request('DELETE', `migrations/${encodeURIComponent(migrationId)}?${search({ storage: String(storage) })}`);
  }

  async #request<T>(method: string, path: string, body?: unknown): Promise<T> {
    const headers: Record<string, string> = { Accept: 'application/json, application/problem+json' };
    const init: RequestInit = { method, headers, signal: AbortSignal.timeout(requestTimeoutMs) };
    if (body !== undefined) {
      headers['Content-Type'] = 'application/json';
      init.body = JSON.stringify(body);
    }
    let response: Response;
    let text: string;
    try {
      response = await fetch(new URL(path, this.#base), init);
      text = await response.text();
    } catch (error) {
      throw new ApiError(error instanceof DOMException && error.name === 'TimeoutError'
        ? { title: 'No answer', detail: `The service did not answer within ${requestTimeoutMs / 1000} seconds.` }
        : { title: 'The service cannot be reached', detail: 'Check that it runs and that the network is up.' });
    }
    const content = parse(text);
    if (response.status === 401 && path !== 'session') this.onSignedOut();
    if (!response.ok) throw new ApiError(problemOf(response, content));
    if (content === invalid) throw new ApiError({ title: 'Unexpected answer', detail: 'The service did not answer with JSON.' });
    return content as T;
  }
}

const invalid = Symbol('not JSON');

/** @returns undefined for an empty body. */
function parse(text: string): unknown {
  if (text.trim() === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return invalid;
  }
}

function problemOf(response: Response, content: unknown): Problem {
  if (typeof content === 'object' && content !== null && ('title' in content || 'detail' in content)) return content as Problem;
  return { title: `The service answered ${response.status} ${response.statusText}`.trim(), status: response.status };
}

function streamPath(disk: DiskAddress): string {
  return `domains/${encodeURIComponent(disk.domain)}/disks/${encodeURIComponent(disk.path)}/stream`;
}

function search(query: Record<string, string | number | undefined>): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined);
  return new URLSearchParams(pairs.map(([name, value]) => [name, String(value)])).toString();
}
