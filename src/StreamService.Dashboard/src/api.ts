import type {
  Budget, Caller, DeploymentRequest, Disk, DiskAddress, DiskMap, Domain, Host, ImagePage, Migration, MigrationRequest, Page, Problem, StreamChange,
  StreamEvent, StreamQuery, StreamRequest, StreamStatus, Summary,
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

  domain(id: string): Promise<Domain> {
    return this.#request('GET', `domains/${encodeURIComponent(id)}`);
  }

  deploy(request: DeploymentRequest): Promise<Domain> {
    return this.#request('POST', 'domains', request);
  }

  /** @param storage whether its overlay is deleted too. */
  removeDomain(id: string, storage: boolean): Promise<void> {
    return this.#request('DELETE', `domains/${encodeURIComponent(id)}?${search({ storage })}`);
  }

  images(query: { limit: number }): Promise<ImagePage> {
    return this.#request('GET', `images?${search(query)}`);
  }

  disk(disk: DiskAddress): Promise<Disk> {
    return this.#request('GET', diskPath(disk));
  }

  map(disk: DiskAddress, buckets: number): Promise<DiskMap> {
    return this.#request('GET', `${diskPath(disk)}/map?${search({ buckets })}`);
  }

  streams(query: StreamQuery): Promise<Page<StreamStatus>> {
    return this.#request('GET', `streams?${search({ ...query })}`);
  }

  summary(query: { host?: string | undefined; q?: string | undefined } = {}): Promise<Summary> {
    return this.#request('GET', `streams/summary?${search(query)}`);
  }

  events(streamId: string, query: { limit: number; cursor?: string | undefined }): Promise<Page<StreamEvent>> {
    return this.#request('GET', `streams/${encodeURIComponent(streamId)}/events?${search(query)}`);
  }

  budgets(): Promise<readonly Budget[]> {
    return this.#request('GET', 'budgets');
  }

  putBudget(name: string, budget: Pick<Budget, 'scope' | 'match' | 'bytesPerSecond' | 'windows'>): Promise<Budget> {
    return this.#request('PUT', `budgets/${encodeURIComponent(name)}`, budget);
  }

  removeBudget(name: string): Promise<void> {
    return this.#request('DELETE', `budgets/${encodeURIComponent(name)}`);
  }

  stream(streamId: string): Promise<StreamStatus> {
    return this.#request('GET', `streams/${encodeURIComponent(streamId)}`);
  }

  start(disk: DiskAddress, request: StreamRequest): Promise<StreamStatus> {
    return this.#request('POST', `${diskPath(disk)}/stream`, request);
  }

  change(disk: DiskAddress, change: StreamChange): Promise<StreamStatus | undefined> {
    return this.#request('PATCH', `${diskPath(disk)}/stream`, change);
  }

  cancel(disk: DiskAddress): Promise<StreamStatus | undefined> {
    return this.#request('DELETE', `${diskPath(disk)}/stream`);
  }

  migrations(query: { limit: number }): Promise<Page<Migration>> {
    return this.#request('GET', `migrations?${search(query)}`);
  }

  migrate(domain: string, request: MigrationRequest): Promise<Migration> {
    return this.#request('POST', `domains/${encodeURIComponent(domain)}/migrations`, request);
  }

  /** @param storage whether what a completed one left on its source is meant; else it goes back. */
  endMigration(migrationId: string, storage: boolean): Promise<Migration> {
    return this.#request('DELETE', `migrations/${encodeURIComponent(migrationId)}?${search({ storage })}`);
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
    if (!response.ok) throw new ApiError(answerProblem(response, content));
    if (content === invalid) throw new ApiError({ title: 'Unexpected answer', detail: 'The service did not answer with JSON.' });
    return content as T;
  }
}

/** Why a request, or what came of its answer, failed. */
export function problemOf(error: unknown): Problem {
  return error instanceof ApiError ? error.problem : { title: 'Something went wrong in the page', detail: String(error) };
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

function answerProblem(response: Response, content: unknown): Problem {
  if (typeof content === 'object' && content !== null && ('title' in content || 'detail' in content)) return content as Problem;
  return { title: `The service answered ${response.status} ${response.statusText}`.trim(), status: response.status };
}

function diskPath(disk: DiskAddress): string {
  return `domains/${encodeURIComponent(disk.domain)}/disks/${encodeURIComponent(disk.path)}`;
}

type Value = string | number | boolean;

function search(query: Record<string, Value | readonly Value[] | undefined>): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    (value === undefined || value === '' ? [] : [value].flat()).map((one) => [name, String(one)]));
  return new URLSearchParams(pairs).toString();
}
