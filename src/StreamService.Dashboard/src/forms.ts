// The forms while they are open: what was typed, and what it stands for. Pure.

import { bandwidthToMebibytes, mebibyte, mebibytesToBandwidth } from './format.ts';
import type {
  Budget, DeploymentRequest, Disk, DiskAddress, Domain, Image, MigrationRequest, Order, Policy, Priority, Problem, StreamRequest,
} from './model.ts';

abstract class Form {
  busy = false;
  problem: Problem | undefined;

  /** Faults that can be seen without asking the service; undefined where there are none. */
  abstract check(): Problem | undefined;
}

/** A problem with its faults by member, as the service's own. */
function refuse(errors: Record<string, string>): Problem | undefined {
  const entries = Object.entries(errors).filter(([, text]) => text !== '');
  return entries.length === 0
    ? undefined
    : { title: 'This cannot be sent yet', code: 'invalid-request', errors: Object.fromEntries(entries.map(([member, text]) => [member, [text]])) };
}

const bandwidthFault = (text: string) => (mebibytesToBandwidth(text) === null ? 'must be MiB per second as a number, 0 or more; 0 sets no limit.' : '');

/** The fields that every stream begins with. */
export class StreamFields {
  bandwidth = '0';
  policy: Policy = 'adaptive';
  priority: Priority = 'normal';
  order: Order = 'sequential';

  get fault(): string {
    return bandwidthFault(this.bandwidth);
  }

  request(): StreamRequest {
    return { mode: 'full', bandwidth: mebibytesToBandwidth(this.bandwidth)!, policy: this.policy, priority: this.priority, order: this.order };
  }
}

export class StreamForm extends Form {
  readonly domain: Domain;
  readonly disk: Disk;
  readonly fields = new StreamFields();

  constructor(domain: Domain, disk: Disk) {
    super();
    this.domain = domain;
    this.disk = disk;
  }

  get address(): DiskAddress {
    return { domain: this.domain.id, path: this.disk.target };
  }

  override check(): Problem | undefined {
    return refuse({ bandwidth: this.fields.fault });
  }

  request(): StreamRequest {
    return this.fields.request();
  }
}

export class MigrationForm extends Form {
  readonly domains: readonly Domain[];
  domain: Domain;
  destination = '';
  bandwidth = '0';
  verify = false;
  readonly #destinations: (domain: Domain) => readonly string[];

  constructor(domains: readonly Domain[], destinations: (domain: Domain) => readonly string[]) {
    super();
    this.domains = domains;
    this.#destinations = destinations;
    this.domain = domains[0]!;
    this.destination = this.destinations[0] ?? '';
  }

  get destinations(): readonly string[] {
    return this.#destinations(this.domain);
  }

  choose(id: string): void {
    this.domain = this.domains.find((domain) => domain.id === id) ?? this.domain;
    if (!this.destinations.includes(this.destination)) this.destination = this.destinations[0] ?? '';
  }

  override check(): Problem | undefined {
    return refuse({ destination: this.destination === '' ? 'is required: a host that the domain can go to.' : '', 'stream.bandwidth': bandwidthFault(this.bandwidth) });
  }

  request(): MigrationRequest {
    return { destination: this.destination, verify: this.verify, stream: { mode: 'full', bandwidth: mebibytesToBandwidth(this.bandwidth)! } };
  }
}

export class DeployForm extends Form {
  readonly images: readonly Image[];
  readonly hosts: readonly string[];
  name = '';
  host: string;
  image: string;
  format = 'qcow2';
  memoryMiB = '1024';
  vcpus = '1';
  sizeGiB = '';
  copyOnRead = true;
  stream = true;
  readonly fields = new StreamFields();

  constructor(image: Image | undefined, images: readonly Image[], hosts: readonly string[]) {
    super();
    this.images = images.filter((known) => known.refusal === null);
    this.hosts = hosts;
    this.host = hosts[0] ?? '';
    const chosen = image ?? this.images[0];
    this.image = chosen === undefined ? '' : imageName(chosen);
    // What guests of the image read first, as far as it is known, is what makes a new one fast.
    this.fields.order = 'hotFirst';
  }

  override check(): Problem | undefined {
    return refuse({
      memoryMiB: wholeNumber(this.memoryMiB) === null ? 'must be a whole number of MiB.' : '',
      vcpus: wholeNumber(this.vcpus) === null ? 'must be a whole number.' : '',
      size: this.sizeGiB.trim() !== '' && sizeOf(this.sizeGiB) === null ? 'must be GiB as a number, or left empty for the size of the image.' : '',
      'stream.bandwidth': this.stream ? this.fields.fault : '',
    });
  }

  request(): DeploymentRequest {
    const size = this.sizeGiB.trim() === '' ? undefined : (sizeOf(this.sizeGiB) ?? undefined);
    return {
      name: this.name.trim(), host: this.host, image: this.image, format: this.format, memoryMiB: wholeNumber(this.memoryMiB), vcpus: wholeNumber(this.vcpus),
      copyOnRead: this.copyOnRead, stream: this.stream ? this.fields.request() : null, ...(size === undefined ? {} : { size }),
    };
  }
}

export class BudgetForm extends Form {
  readonly known: Budget | undefined;
  name: string;
  scope: Budget['scope'];
  match: string;
  bandwidth: string;

  constructor(known: Budget | undefined) {
    super();
    this.known = known;
    this.name = known?.name ?? '';
    this.scope = known?.scope ?? 'service';
    this.match = known?.match ?? '';
    this.bandwidth = known === undefined ? '100' : bandwidthToMebibytes(known.bytesPerSecond);
  }

  override check(): Problem | undefined {
    return refuse({
      name: /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(this.name.trim()) ? '' : 'must be letters, digits, dots, dashes and underscores, the first a letter or a digit.',
      bytesPerSecond: bandwidthFault(this.bandwidth),
    });
  }

  /** The windows stay as they are: the page shows them, it does not change them. */
  request(): Pick<Budget, 'scope' | 'match' | 'bytesPerSecond' | 'windows'> {
    return {
      scope: this.scope, match: this.scope === 'service' ? null : this.match.trim(), bytesPerSecond: mebibytesToBandwidth(this.bandwidth)!, windows: this.known?.windows ?? [],
    };
  }
}

export function imageName({ repository, name }: Image): string {
  return `${repository}/${name}`;
}

function wholeNumber(text: string): number | null {
  return /^\d{1,9}$/.test(text.trim()) ? Number(text.trim()) : null;
}

/** GiB as typed, in bytes of whole sectors. */
function sizeOf(text: string): number | null {
  const mebibytes = mebibytesToBandwidth(text);
  return mebibytes === null || mebibytes === 0 ? null : Math.round((mebibytes / mebibyte) * 1024 ** 3 / 512) * 512;
}
