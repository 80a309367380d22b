// What the service says and takes: the JSON shapes of its public API. Sizes and offsets are bytes, bandwidth is bytes
// per second (0: unlimited), times are RFC 3339 in UTC.

export interface Host {
  readonly name: string;
  readonly uri: string;
  readonly state: 'connected' | 'unreachable';
  readonly hypervisor?: string | null;
  readonly hypervisorVersion?: string | null;
  readonly libvirtVersion?: string | null;
  /** The hypervisor's own words, or a problem document. */
  readonly lastError?: string | Problem | null;
}

export interface BackingImage {
  readonly source: string;
  readonly format?: string | null;
}

export interface Disk {
  readonly target: string;
  readonly source?: string | null;
  readonly format?: string | null;
  readonly size?: number | null;
  readonly clusterSize?: number | null;
  readonly backingChain?: readonly BackingImage[] | null;
  readonly streamable: boolean;
}

export interface Domain {
  readonly id: string;
  readonly name: string;
  readonly host: string;
  readonly state: string;
  readonly disks: readonly Disk[];
  /** From what the service deployed it; null where it did not. */
  readonly deployment: { readonly image: string; readonly target: string; readonly createdAt: string } | null;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly nextCursor?: string | null;
}

export type StreamState =
  | 'idle'
  | 'queued'
  | 'running'
  | 'paused'
  | 'waiting'
  | 'finalizing'
  | 'completed'
  | 'failed'
  | 'cancelled';

export type Policy = 'adaptive' | 'fixed';
export type Priority = 'low' | 'normal' | 'high';
export type Order = 'sequential' | 'hotFirst';

/** A budget on a stream's way: its pace, and what of that is the stream's; 0 is unlimited. */
export interface BudgetShare {
  readonly name: string;
  readonly bytesPerSecond: number;
  readonly share: number;
}

/** One stream of one disk at one moment. Of two with the same id the one with the higher generation is newer. */
export interface StreamStatus {
  /** The disk's target in its domain, as `vda`. */
  readonly path: string;
  readonly offset: number;
  readonly size: number;
  readonly streamId: string;
  readonly host: string;
  readonly domain: string;
  readonly domainName: string;
  readonly mode: string;
  readonly engine?: string | null;
  readonly state: StreamState;
  readonly bandwidth?: number | null;
  readonly policy?: Policy | null;
  readonly priority?: Priority | null;
  readonly bytesStreamed: number;
  /** Of those streamed, the bytes that a crash of the hypervisor can no longer undo. */
  readonly bytesDurable: number;
  readonly bytesRemaining: number;
  readonly bytesPerSecond?: number | null;
  readonly etaSeconds?: number | null;
  readonly reason?: string | null;
  readonly engineReason?: string | null;
  readonly order?: Order | null;
  readonly base?: string | null;
  readonly targetLatencyMs?: number | null;
  readonly minBandwidth?: number | null;
  readonly onError?: string | null;
  readonly attempt?: number | null;
  readonly nextAttemptAt?: string | null;
  readonly lastError?: Problem | null;
  /** When all that the image's profile names was in the overlay; null before, and where there is no profile. */
  readonly bootReadyAt?: string | null;
  readonly hotRemaining?: number | null;
  /** What the guest's reads and writes took lately; null where nobody looks, or the guest is quiet. */
  readonly guestLatencyMs?: number | null;
  readonly budgets?: readonly BudgetShare[] | null;
  readonly error?: Problem | null;
  readonly createdAt: string;
  readonly startedAt?: string | null;
  readonly updatedAt: string;
  readonly finishedAt?: string | null;
  readonly generation: number;
}

export type Scope = 'streams:read' | 'streams:write' | 'domains:write' | 'migrations:write' | 'admin';

/** Who calls, as the service knows it. */
export interface Caller {
  readonly authenticationRequired: boolean;
  /** Null where nobody has signed in. */
  readonly caller: string | null;
  readonly scopes: readonly Scope[];
}

/** RFC 9457. `errors` lists the faults of a request: by member, or one after the other. */
export interface Problem {
  readonly type?: string;
  readonly title?: string;
  readonly status?: number;
  readonly detail?: string;
  readonly code?: string;
  readonly errors?: unknown;
}

export interface StreamRequest {
  readonly mode: 'full';
  readonly bandwidth: number;
  readonly policy: Policy;
  readonly priority: Priority;
  readonly order?: Order;
}

export interface StreamChange {
  readonly bandwidth?: number;
  readonly policy?: Policy;
  readonly priority?: Priority;
  readonly state?: 'paused' | 'running';
}

export type StreamSort = 'created' | 'updated' | 'name' | 'host' | 'rate' | 'eta' | 'remaining';
export type SortDirection = 'asc' | 'desc';

export interface StreamQuery {
  readonly state?: readonly StreamState[] | undefined;
  readonly host?: string | undefined;
  readonly q?: string | undefined;
  readonly latest?: boolean | undefined;
  readonly sort?: StreamSort | undefined;
  readonly direction?: SortDirection | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export type StateCounts = Readonly<Record<Exclude<StreamState, 'idle'>, number>>;

/** What streams add up to. */
export interface Sums {
  readonly streams: number;
  readonly states: StateCounts;
  readonly bytesRemaining: number;
  readonly bytesPerSecond: number;
  readonly etaSeconds: number | null;
}

export interface Summary extends Sums {
  readonly attention: number;
  readonly hosts: readonly (Sums & { readonly host: string })[];
}

/** A state that a stream entered. */
export interface StreamEvent {
  readonly time: string;
  readonly state: StreamState;
  readonly reason: string | null;
  readonly error: Problem | null;
  readonly generation: number;
}

/** A disk in equal ranges; of each the fraction, 0 to 1. */
export interface DiskMap {
  readonly size: number;
  readonly clusterSize: number | null;
  readonly populated: number;
  readonly remaining: number;
  /** Not only in the backing chain. */
  readonly buckets: readonly number[];
  readonly holes: readonly number[];
  /** Null where no stream is at work. */
  readonly durable: readonly number[] | null;
  /** Null where the image has no profile. */
  readonly hot: readonly number[] | null;
}

export interface Image {
  readonly repository: string;
  readonly name: string;
  readonly format: string | null;
  readonly size: number;
  readonly clusterSize: number | null;
  readonly backingChain: readonly BackingImage[];
  readonly refusal: string | null;
}

export interface Repository {
  readonly name: string;
  readonly uri: string;
  readonly state: 'reachable' | 'unreachable';
  readonly lastError: string | null;
}

export interface ImagePage extends Page<Image> {
  readonly repositories: readonly Repository[];
}

export interface DeploymentRequest {
  readonly name: string;
  readonly host: string;
  readonly image: string;
  readonly format: string;
  readonly memoryMiB: number | null;
  readonly vcpus: number | null;
  readonly size?: number;
  readonly copyOnRead?: boolean;
  readonly stream: StreamRequest | null;
}

export interface Budget {
  readonly name: string;
  readonly scope: 'service' | 'host' | 'source' | 'label';
  readonly match: string | null;
  readonly bytesPerSecond: number;
  readonly windows: readonly { readonly from: string; readonly to: string; readonly timeZone: string; readonly bytesPerSecond: number }[];
  readonly origin: 'configuration' | 'api';
  readonly presentBytesPerSecond: number;
  readonly streams: number;
}

/** Names one disk of one domain, as the API's addresses do. */
export interface DiskAddress {
  readonly domain: string;
  readonly path: string;
}

export type MigrationState = 'running' | 'waiting' | 'goingBack' | 'completed' | 'failed' | 'cancelled';

export type MigrationStepName =
  | 'preflight' | 'snapshot' | 'export' | 'prepareDestination' | 'migrate' | 'stream' | 'verify' | 'release';

export interface MigrationStep {
  readonly name: MigrationStepName;
  readonly state: 'pending' | 'running' | 'done' | 'failed' | 'undone' | 'skipped';
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly attempts: number;
  readonly detail: string | null;
}

export interface MigrationDisk {
  readonly target: string;
  readonly size: number;
  readonly frozen: string;
  readonly destination: string;
  readonly bytesRemaining: number | null;
  readonly bytesVerified: number | null;
}

/** One migration at one moment. Of two with the same id the one with the higher generation is newer. */
export interface Migration {
  readonly migrationId: string;
  readonly domain: string;
  readonly domainName: string;
  readonly source: string;
  readonly destination: string;
  readonly state: MigrationState;
  readonly reason: string | null;
  readonly error: Problem | null;
  readonly switchedAt: string | null;
  readonly steps: readonly MigrationStep[];
  readonly disks: readonly MigrationDisk[];
  readonly memory: { readonly total: number; readonly remaining: number; readonly bytesPerSecond: number } | null;
  readonly leftOnSource: readonly string[];
  readonly createdAt: string;
  readonly finishedAt?: string | null;
  readonly generation: number;
}

export interface MigrationRequest {
  readonly destination: string;
  readonly verify: boolean;
  readonly stream: { readonly mode: 'full'; readonly bandwidth: number };
}
